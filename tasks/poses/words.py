"""The words that rules on captions look for; `*` at the end stands for any letters, a space for any gap."""

from typing import Final

SPORT: Final = (
    "sport", "sports", "athlete*", "workout", "working out", "work out", "exercis*",
    "fitness class", "training session", "gymnast*", "aerobics", "pilates", "yoga", "jogging", "jogger*", "jogs",
    "running", "runner", "runners", "sprint*", "marathon*", "triathlon*", "hurdles", "track and field", "high jump",
    "long jump", "pole vault*", "javelin", "shot put", "jumping", "jump rope", "jumping jacks", "push up*",
    "push-up*", "pull up*", "pull-up*", "sit ups", "sit-ups", "squats", "deadlift*", "dumbbell*", "barbell*",
    "kettlebell*", "weight lifting", "weightlift*", "lifting weights", "treadmill", "basketball*", "baseball*",
    "softball*", "football*", "soccer", "rugby", "volleyball*", "handball", "tennis", "badminton", "table tennis",
    "ping pong", "ping-pong", "golf", "golfer*", "golfing", "hockey", "lacrosse", "cricket", "water polo",
    "playing polo", "playing squash", "racquet*", "racket*", "frisbee*", "bowling", "archery", "fencing match",
    "boxing", "kickbox*", "wrestl*", "karate", "judo", "taekwondo", "kung fu", "martial art*", "jiu jitsu",
    "swimming", "swimmer*", "scuba*", "snorkel*", "surf", "surfing", "surfer*", "surfboard*", "surf board*",
    "wakeboard*", "kiteboard*", "kitesurf*", "windsurf*", "kayak*", "canoe*", "rowing", "paddle board*",
    "paddleboard*", "skateboard*", "skate board*", "skateboarder*", "skating", "skater", "skaters", "ice skat*",
    "roller skat*", "rollerblad*", "skiing", "skier*", "skis", "snowboard*", "sledding", "bobsled*", "rock climb*",
    "climbing wall", "bouldering", "parkour", "skydiv*", "paraglid*", "hang glid*", "bungee*", "cyclist*",
    "mountain bik*", "bmx", "bike race", "bicycle race", "cycling", "motocross", "horseback riding", "equestrian",
    "show jumping", "throwing a ball", "throwing the ball", "throws a ball", "catching a ball", "catch a ball",
    "hitting a ball", "hits a ball", "kicking a ball", "kicks a ball", "pitching a ball", "swinging a bat",
    "swinging at a ball", "home plate", "pitcher's mound", "batter", "goalkeeper*", "goalie*", "quarterback*",
    "cheerleader*", "home run", "dunking", "slam dunk",
)  # fmt: skip

NOT_SPORT: Final = (
    "sports bra*", "sport bra*", "sports coat*", "sport coat*", "sports jacket*", "sport jacket*", "sports shoe*",
    "sports shirt*", "sport shirt*", "sports top*", "sports jersey*", "sports car*", "sport car*", "sports cap*",
    "sports watch*", "sports bag*", "sports wear", "sports luxe", "sports bar", "sport utility", "sports illustrated",
    "sporting a", "baseball cap*", "baseball hat*", "baseball jacket*", "baseball tee*", "baseball shirt*",
    "baseball jersey*", "basketball shoe*", "basketball shorts", "basketball jersey*", "basketball sneaker*",
    "football jersey*", "football shirt*", "soccer jersey*", "soccer mom*", "hockey jersey*", "rugby shirt*",
    "rugby stripe*", "golf shirt*", "golf cart*", "golf polo*", "cricket sweater*", "tennis shoe*", "tennis skirt*",
    "tennis dress*", "tennis bracelet*", "tennis sweater*", "yoga pant*", "yoga legging*", "yoga short*", "yoga top*",
    "yoga mat*", "running shoe*", "running sneaker*", "running short*", "running top*", "running tights",
    "running late", "running water", "running for office", "running errands", "running out of", "running down his",
    "running down her", "running through her", "running through his", "stripe running",
    "stripes running", "seam running", "workout leggings", "workout top*", "workout clothes", "exercise bike",
    "exercise pants", "skater dress*", "skater skirt*", "skater shoe*", "skater jeans",
    "surfing the internet", "surfing the web", "swimming pool*", "swimming suit*", "swimming costume*",
    "swimming trunks", "bowling bag*", "bowling shirt*", "boxing day", "cycling short*", "ski jacket*", "ski pants",
    "ski hat*", "ski mask*", "jumping for joy", "pancake batter",
    "track pants",
)  # fmt: skip
"""Clothes and turns of phrase that only sound like sport; taken out of a caption before `SPORT` is looked for."""

URBAN: Final = (
    "street*", "city", "cities", "urban", "downtown", "sidewalk*", "pavement", "crosswalk*", "alley*", "traffic",
    "skyscraper*", "building*", "subway", "metro station", "train station", "bus stop", "parking lot",
    "parking garage", "road", "highway", "bridge", "plaza", "town square", "storefront*", "shop window*", "graffiti",
    "brick wall", "rooftop*", "taxi*", "fire hydrant", "parking meter", "traffic light*", "street light*",
)  # fmt: skip

OUTDOOR: Final = (
    "outdoor*", "outside", "beach*", "sea", "ocean", "sand", "lake*", "river*", "waterfall*", "mountain*", "hill*",
    "forest*", "woods", "tree*", "field*", "meadow*", "grass*", "garden*", "park", "parks", "desert*", "snow",
    "snowy", "sky", "sunset", "farm*", "countryside", "campsite*", "camping", "hiking", "trail", "backyard", "lawn",
    "nature", "cliff*", "island*",
)  # fmt: skip

INDOOR: Final = (
    "indoor*", "inside", "room", "rooms", "bedroom*", "living room*", "bathroom*", "kitchen*", "office*", "couch*",
    "sofa*", "bed", "studio", "classroom*", "restaurant*", "cafe", "hallway*", "staircase", "library", "museum*",
    "hotel lobby", "armchair*", "desk", "mirror", "table", "house interior", "white background", "gray background",
    "grey background", "plain background",
)  # fmt: skip

FEMALE: Final = (
    "woman", "women", "girl", "girls", "lady", "ladies", "female", "females", "bride", "brides", "actress*", "mother",
    "grandmother", "daughter*", "sister*", "businesswoman", "waitress*", "ballerina*", "queen", "princess*",
    "housewife",
)  # fmt: skip
MALE: Final = (
    "man", "men", "boy", "boys", "guy", "guys", "gentleman", "gentlemen", "male", "males", "groom", "grooms", "actor",
    "father", "grandfather", "brother*", "businessman", "businessmen", "waiter", "king", "prince",
)  # fmt: skip
SHE: Final = ("she", "her", "hers", "herself")
HE: Final = ("he", "his", "him", "himself")
NOT_GENDER: Final = (
    "boyfriend jean*", "boyfriend shirt*", "boyfriend blazer*", "boy short*", "girl power", "lady bug*", "man bun*",
    "woman's *", "women's *", "man's *", "men's *", "mens *", "womens *", "boy's *", "girl's *", "ladies' *",
)  # fmt: skip
"""Clothes named after somebody who may not wear them."""

SOURCE_GENDER: Final = {
    "female": ("women", "woman", "womens", "female", "f", "w", "girl", "girls", "lady", "ladies"),
    "male": ("men", "man", "mens", "male", "m", "boy", "boys", "gentleman", "gentlemen"),
    "unisex": ("unisex", "u", "both", "neutral"),
}  # fmt: skip

HOLDING: Final = (
    "holding", "holds", "carrying", "carries", "clutching", "gripping", "grasping", "in hand", "in his hand",
    "in her hand", "in their hand", "in one hand",
)  # fmt: skip
NOT_HOLDING: Final = (
    "holding hands", "holding hand", "holds hands", "holding each other", "holding up", "holding on to",
    "holding onto", "holding still", "holding a pose", "holding the pose", "holding his arms", "holding her arms",
    "carrying on",
)  # fmt: skip
RIGHT_HAND: Final = ("right hand",)
LEFT_HAND: Final = ("left hand",)
BOTH_HANDS: Final = ("both hands", "two hands", "both of her hands", "both of his hands", "with hands together holding")

GARMENTS: Final = {
    "dress": ("dress", "dresses", "gown*", "sundress*", "jumpsuit*", "romper*", "rompers_jumpsuits"),
    "shirt": (
        "shirt*", "t-shirt*", "tshirt*", "tee", "tees", "tees_tanks", "blouse*", "blouses_shirts", "shirts_polos",
        "top", "tops", "tank", "tank top*", "polo", "graphic_tees", "tunic*", "camisole*", "crop top*",
    ),
    "jacket": (
        "jacket*", "jackets_vests", "jackets_coats", "coat*", "blazer*", "parka*", "vest*", "suit", "suits",
        "suiting", "trench*", "outerwear", "windbreaker*", "anorak*",
    ),
    "pants": (
        "pants", "pant", "trousers", "jeans", "denim", "leggings", "shorts", "slacks", "chinos", "joggers", "culottes",
    ),
    "skirt": ("skirt*",),
    "knitwear": (
        "sweater*", "cardigan*", "sweatshirt*", "sweatshirts_hoodies", "hoodie*", "pullover*", "jumper*",
        "sweatpants", "knitwear",
    ),
    "swimwear": ("swimsuit*", "bikini*", "swimwear", "swim trunks"),
    "underwear": ("lingerie", "underwear", "bra", "sports bra*", "boxers"),
}  # fmt: skip
"""What covers the body; the names with underscores are DeepFashion's own categories."""

ACCESSORIES: Final = {
    "hat": ("hat", "hats", "cap", "caps", "beanie*", "beret*", "headband*"),
    "glasses": ("glasses", "sunglasses", "eyeglasses", "eyewear", "goggles"),
    "bag": ("bag", "bags", "handbag*", "backpack*", "purse*", "tote*", "clutch"),
    "scarf": ("scarf", "scarves", "shawl*", "necktie*", "tie", "bow tie"),
    "jewellery": ("necklace*", "earring*", "bracelet*", "ring", "rings", "watch", "watches", "jewelry", "jewellery"),
    "shoes": ("shoe*", "sneaker*", "boot", "boots", "heels", "sandal*", "footwear", "loafers"),
    "belt": ("belt*",),
    "gloves": ("glove", "gloves", "mitten*"),
}  # fmt: skip

WEARING: Final = ("wearing", "wears", "dressed in", "clad in")
IN: Final = ("in", "in a", "in an", "in his", "in her", "in the")
ELSEWHERE: Final = ("with", "near", "on", "beside", "by", "behind", "next", "of", "holding")
"""After one of these, what follows `in a` is not what the person has on."""
