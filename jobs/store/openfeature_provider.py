"""OpenFeature's provider over the flags of a store (`pip install 'vitrine[openfeature]'`).

    api.set_provider(StoreProvider(Store.open("lmdb:var/store")))
    api.get_client().get_string_value("hero", "still", EvaluationContext(targeting_key=subject))

The targeting key is the subject, as for `Store.get`. On any error the SDK returns the caller's default.
"""

# ruff: noqa: ARG002 - default_value is what the SDK returns on an error
from collections.abc import Mapping, Sequence
from typing import Any

from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import (
    FlagNotFoundError,
    GeneralError,
    ProviderNotReadyError,
    TargetingKeyMissingError,
    TypeMismatchError,
)
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.provider import AbstractProvider, Metadata

from jobs.store.errors import StoreError, StoreGone
from jobs.store.flags import Flags, UnknownFlag
from jobs.store.reader import Store

REASONS = {"rule": Reason.TARGETING_MATCH, "share": Reason.SPLIT, "default": Reason.DEFAULT}
Object = Sequence[FlagValueType] | Mapping[str, FlagValueType]
Context = EvaluationContext | None


class StoreProvider(AbstractProvider):
    """Resolves flags from a store."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._flags = Flags(store)

    def get_metadata(self) -> Metadata:
        """Return the provider's name."""
        return Metadata("vitrine")

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,
        evaluation_context: Context = None,
    ) -> FlagResolutionDetails[bool]:
        """Return a flag whose values are true and false."""
        return self._resolved(flag_key, evaluation_context, bool)

    def resolve_string_details(
        self,
        flag_key: str,
        default_value: str,
        evaluation_context: Context = None,
    ) -> FlagResolutionDetails[str]:
        """Return a flag whose values are texts."""
        return self._resolved(flag_key, evaluation_context, str)

    def resolve_integer_details(
        self,
        flag_key: str,
        default_value: int,
        evaluation_context: Context = None,
    ) -> FlagResolutionDetails[int]:
        """Return a flag whose values are whole numbers."""
        return self._resolved(flag_key, evaluation_context, int)

    def resolve_float_details(
        self,
        flag_key: str,
        default_value: float,
        evaluation_context: Context = None,
    ) -> FlagResolutionDetails[float]:
        """Return a flag whose values are numbers."""
        return self._resolved(flag_key, evaluation_context, float, int)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Object,
        evaluation_context: Context = None,
    ) -> FlagResolutionDetails[Object]:
        """Return a flag whose values are lists or mappings."""
        return self._resolved(flag_key, evaluation_context, dict, list)

    def _resolved(self, flag: str, context: Context, *kinds: type) -> FlagResolutionDetails[Any]:
        if context is None or not context.targeting_key:
            raise TargetingKeyMissingError("The targeting key is the subject that the flag is for.")
        try:
            found = self._flags.get(flag, context.targeting_key)
        except UnknownFlag as error:
            raise FlagNotFoundError(str(error)) from None
        except StoreGone as error:
            raise ProviderNotReadyError(str(error)) from None
        except StoreError as error:
            raise GeneralError(str(error)) from None
        if type(found.value) not in kinds:
            raise TypeMismatchError(f"Values of flag {flag} are of kind {type(found.value).__name__}.")
        value = float(found.value) if kinds[0] is float else found.value
        return FlagResolutionDetails(value, reason=REASONS[found.reason], variant=found.version)
