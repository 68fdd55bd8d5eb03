"""Learning from closings: learners behind one small interface, how good they are, and which may go live.

Examples are arrays: features (n, f) float32 with NaN for missing, categories as codes into frozen lists,
targets (n, c) with NaN where unknown. There are three tasks: `labels` (c independent yes/no questions),
`classes` (one of c), `rewards` (c numbers, each known only where it was tried).
"""

from ml.classify.examples import Examples as Examples
from ml.classify.examples import Shape as Shape
from ml.classify.model import Model as Model
from ml.classify.model import Tampered as Tampered
from ml.classify.model import digest_of as digest_of
from ml.classify.model import load as load
