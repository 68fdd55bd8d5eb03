"""Pictures of products, drawn from what a product is: the same product always in the same colours.

A picture is one of the shapes of page.svg, found from the words of the product's category and department. Its
colour is the shape's, turned a little by the product's id, and goes with the custom property --h.
"""

import re
from functools import cache
from pathlib import Path
from xml.etree import ElementTree
from zlib import crc32

SPRITE = Path(__file__).with_name("page.svg")
MARKS = 6
ICONS = {"info", "heart"}

# What to draw: the first pattern found in a product's category, then in its department.
WORDS = (
    ("pizza", r"PIZZA"),
    ("ice", r"ICE CREAM|SHERB|NOVELT|FRZN ICE"),
    ("eggs", r"^EGGS"),
    ("cheese", r"CHEESE"),
    ("frozen", r"FRZN|FROZEN|MEAT DINNERS"),
    ("carton", r"FLUID MILK|MILK|REFRGRATD JUICES|CREAM"),
    ("cup", r"YOGURT|PUDDING|DESSERT"),
    ("tub", r"MARGARINE|BUTTER(?!.*PNT)|SALADS?/DIPS|DIPS|DOUGH"),
    ("jar", r"PNT BTR|CONDIMENT|DRSNG|SPICE|PICKLE|SAUCE|SYRUP|HONEY|OILS|BABY FOOD|OLIVES"),
    ("coffee", r"COFFEE|TEA"),
    ("bottle", r"SOFT DRINKS|WATER|BEER|ALE|WINE|JUICE|LIQUOR|DRINK|ISOTONIC|SPIRITS"),
    ("cookie", r"COOKIE"),
    ("candy", r"CANDY|GUM"),
    ("box", r"CEREAL|CRACKER|DINNER|CAKE MIX|BRKFST|PASTA|NOODLE|SUGAR|FLOUR|BAKING|RICE"),
    ("bag", r"SNACK|CHIPS|NUTS|POPCORN|SALAD MIX|POTATOES|CHARCOAL|SEEDS"),
    ("can", r"SOUP|SHELF STABLE|CANNED|BEAN|HISPANIC|TUNA|CHILI"),
    ("loaf", r"BREAD|BUNS|ROLLS|BAKED|BAGEL|SWEET|PASTRY|CAKES|PIES"),
    ("pineapple", r"TROPICAL"),
    ("berries", r"BERRIES|GRAPES|STONE FRUIT"),
    ("apple", r"APPLES|CITRUS|FRUIT|PEARS|MELON"),
    ("tomato", r"TOMATO|PEPPERS"),
    ("onion", r"ONION|GARLIC"),
    ("carrot", r"CARROT|CORN|SQUASH"),
    ("leaf", r"VEGETABLE|SALAD|MUSHROOM|BROCCOLI|HERBS|LETTUCE|ORGANICS|VALUE ADDED"),
    ("chicken", r"CHICKEN|TURKEY|POULTRY"),
    ("fish", r"SEAFOOD|FISH|SHRIMP"),
    ("meat", r"BEEF|PORK|MEAT|HAM|BACON|SAUSAGE|HOT DOGS|LAMB|VEAL|LUNCHMEAT|FRANKS"),
    ("sandwich", r"SANDWICH|DELI|PARTY TRAYS|SUSHI|PREPARED"),
    ("roll", r"TISSUE|TOWEL|NAPKIN|DIAPER|PAPER|FOILS"),
    ("paw", r"DOG|CAT |CAT$|PET|BIRD"),
    ("flower", r"FLORAL|FLOWER|PLANT|ROSES|GARDEN"),
    ("pills", r"VITAMIN|COLD AND FLU|ANALGESIC|MEDIC|ANTACID|DIET|FIRST AID|LAXATIVE|HEALTH"),
    (
        "pump",
        r"SOAP|LAUNDRY|DETERGENT|HAIR|SHAMPOO|CLEAN|DEODORANT|HAND|SKIN|ORAL|SHAVING|MAKEUP|BLEACH|DISH",
    ),
    ("leaf", r"PRODUCE|SALAD BAR"),
    ("meat", r"MEAT"),
    ("pills", r"NUTRITION"),
    ("pump", r"COSMETICS|DRUG"),
    ("box", r"GROCERY"),
)

# Of a category whose products look nothing alike: what a product's own name says.
FINER = {"pineapple": (("banana", r"BANANA|PLANTAIN"), ("apple", r"APPLES"))}


def shape_of(category: str, department: str, name: str = "") -> str:
    """Return the name of the shape that stands for a product."""
    for words in (category.upper(), department.upper()):
        for shape, pattern in WORDS:
            if re.search(pattern, words):
                finer = (one for one, own in FINER.get(shape, ()) if re.search(own, name.upper()))
                return next(finer, shape)
    return "parcel"


def hue_of(product_id: str, shape: str) -> int:
    """Return a product's colour: that of its shape, turned a little by its id."""
    drawn = _shapes()[shape]
    hue, turn = int(drawn["data-hue"]), int(drawn["data-turn"])
    return (hue + crc32(product_id.encode()) % (2 * turn + 1) - turn) % 360


def picture(product_id: str, shape: str) -> str:
    """Return the picture of a product, an SVG element that uses the page's sprite."""
    number = crc32(product_id.encode()) // 997 % MARKS
    label = ""
    if place := _shapes()[shape].get("data-mark"):
        x, y = place.split()
        label = f'<use href="#mark-{number}" x="{x}" y="{y}"/>'
    return f'<svg class="art" viewBox="0 0 100 100" aria-hidden="true"><use href="#{shape}"/>{label}</svg>'


def icon(name: str) -> str:
    """Return a small sign."""
    return f'<svg viewBox="0 0 16 16" aria-hidden="true"><use href="#{name}"/></svg>'


def sprite(shapes: set[str]) -> str:
    """Return the part of the sprite that a page needs, to be put into it once."""
    wanted = {*shapes, *ICONS, *(f"mark-{number}" for number in range(MARKS))}
    symbols = [symbol for symbol in _sprite() if symbol.get("id") in wanted]
    drawn = "".join(ElementTree.tostring(symbol, encoding="unicode") for symbol in symbols)
    return f'<svg width="0" height="0" style="position:absolute" aria-hidden="true">{drawn}</svg>'


@cache
def _sprite() -> ElementTree.Element:
    text = SPRITE.read_text(encoding="utf-8").replace(' xmlns="http://www.w3.org/2000/svg"', "")
    return ElementTree.fromstring(text)  # noqa: S314 - a file of this package


@cache
def _shapes() -> dict[str, dict[str, str]]:
    return {symbol.attrib["id"]: symbol.attrib for symbol in _sprite() if "data-hue" in symbol.attrib}
