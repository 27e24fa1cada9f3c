"""What each catalogue model is good for in a room: its layout roles, from category, name and size."""

import re

from .catalogue import Model

_NAMES = {
    "chair": r"^(chair|chair with cushion|oak chair|osaka chair|ryokan chair|folding chair|plastic chair|cafe chair|"
    r"class seat|teck chair)$",
    "stool": r"stool|bar chair|^puff$|piano bench",
    "armchair": r"armchair|^deck chair|beach chair|relax chair",
    "sofa": r"sofa|couch|futon couch",
    "bed": r"^(bed|iron bed|captain's bed|day bed|futon|child bed|hospital bed|baby bed|crib|bunk bed|mezzanine bed)$",
    "bedside": r"bedside|^stool$",
    "table": r"^(table|round table|oak table|glass table|black table|folding table|wooden .*table|technical table|"
    r"table on trestles|table with tablecloth|bar table|cafe table|desk table)$",
    "coffee_table": r"coffee table|rattan table|children table",
    "desk": r"^desk|wooden desk|wooden table|technical table|dressing table",
    "shelf": r"bookcase|shelves",
    "cupboard": r"wardrobe|cupboard|dresser|drawers cabinet|chest|filing cabinet|television cabinet|tv stand|safe|"
    r"changing table|clothes rack|trunck|high cabinet|upright piano|fireplace|aquarium|vanity|"
    r"contemporary living room|glass door cabinet",
    "kitchen_unit": r"lower cabinet|drawers cabinet|sink cabinet|^sink$|oven$|stove|fridge|refrigerator|"
    r"washing machine|dryer machine|island(?! bath)|chest freezer|high cabinet|cooker",
    "kitchen_upper": r"upper cabinet|hood|upper shelves|boiler|small upper",
    "bathroom": r"bath$|bathtub|bidet|toilets unit|washbasin|basin|lavatory|urinal|shower stall|vanity|clothes basket",
    "door": r"door(?! cabinet)|french window",
    "window": r"window(?!.*(blind|shutter|french))",
    "ceiling": r"ceiling lamp|chandelier|hanging light|pendant lamp|ceiling fan|fluorescent light|track lights|"
    r"smoke detector|japanese lantern",
    "wall_small": r"wall light|wall lamp|wall spotlight|socket|switch|plug|intercom|thermometer|wall hanger|"
    r"cuckoo clock|porch light|emergency sign|cctv|surveillance camera|towel rack|clothes hanger|dart game|"
    r"knife stand|utensils|letters box|toilet paper|extinguisher",
    "wall_large": r"wall flat tv|radiator|air conditioning - internal|electric water heater|screen$|window blind|"
    r"curtain$|white board|kitchen tools",
    "floor_lamp": r"^lamp$",
    "screen": r"^tv|imac|ibook|laptop",
    "person": r"^(?!mannequin)",
}
_CATEGORY = {
    "chair": ("Living room", "Office", "Exterior", "Bedroom"),
    "bathroom": ("Bathroom",),
    "person": ("Characters",),
    "floor_lamp": ("Lights",),
    "door": ("Doors and windows",),
    "window": ("Doors and windows",),
}
_NOT_SMALL = re.compile(
    r"socket|switch|plug|wall|radiator|arrow|parking|pedestrian|ceiling|chandelier|pendant|shower|smoke|hood|rail|"
    r"faucet|bell|speech|curtain|escalator|letters box|clothes hanger|dispenser|intercom|cctv|surveillance|dart|"
    r"emergency|air cond|heater|^sink$|cooktop|induction|fluorescent|track|porch|fence|screen door|coathanger|"
    r"upper|hanging|baby bed|comb|bill|ring$|pencil|fork|spoon|knife$|lip stick|dress$|short|skirt|trousers|jacket|"
    r"bedside|locker|stool|puff|potty|trash|dustbin|recycling|basket|stove|cooker$|drawers|chair|chest|table$|bench"
)
_FLOOR_THINGS = re.compile(
    r"dustbin|trash|recycling|basket|backpack|suitcase|briefcase|bag|box|crate|barrel|puff|plant|ficus|yucca|bamboo|"
    r"cactus|guitar|speaker|bin|ball|shoe|sneaker|slipper|mocassin|bootie|fan|dog|cat|umbrella|vase|stroller|"
    r"wheelchair|step ladder|broom|shovel|toy|rocking|doll house|pouf|ottoman|stool|potty|gift|extinguisher|"
    r"water cooler|indoor bike|clothes horse|mower|table fan|flower|tree|heater|wood logs|bike|skateboard|scooter|"
    r"treadmill|newspaper|box|christmas|spathiphyllum|tricycle|cone|safe|abdominal|punching|workbench"
)


def roles_of(model: Model) -> list[str]:
    """Layout roles of a model: those of the table above, and `small`, `floor_thing` by size and name."""
    name = model.name.lower()
    width, depth, height = model.size
    roles = []
    for role, pattern in _NAMES.items():
        if role in _CATEGORY and model.category not in _CATEGORY[role]:
            continue
        if model.category in ("Vehicles", "Exterior", "Characters") and role not in _CATEGORY:
            continue
        if re.search(pattern, name):
            roles.append(role)
    if "door" in roles and ("garage" in name or "shower" in name or name == "elevator" or width > 2.6):
        roles.remove("door")
    if "floor_lamp" in roles and height < 0.9:
        roles.remove("floor_lamp")
    if "person" in roles and (height > 2.0 or max(width, depth) > 1.2 or "lying" in name or "sitting" in name):
        roles.remove("person")
    if "cupboard" in roles and min(width, height) < 0.3:
        roles.remove("cupboard")
    indoor = model.category not in ("Exterior", "Vehicles", "Characters", "Doors and windows", "Staircases")
    largest = max(width, depth)
    portable = largest < 0.62 and 0.02 < height < 0.75 and max(model.size) > 0.045 and not _NOT_SMALL.search(name)
    if indoor and portable and not {"chair", "armchair", "kitchen_unit", "bathroom", "stool"} & set(roles):
        roles.append("small")
    stands = largest < 1.3 and 0.05 < height < 2.0 and model.category not in ("Doors and windows", "Staircases")
    if stands and _FLOOR_THINGS.search(name) and "chair" not in roles and "pool" not in name:
        roles.append("floor_thing")
    if model.category == "Vehicles" and largest > 1.2 and height > 0.6:
        roles.append("vehicle")
    if re.search(r"street l|park light|lamppost|mailbox|trashcan|bench|hydrant|fence|railing|cone|umbrella", name):
        roles.append("street")
    return roles
