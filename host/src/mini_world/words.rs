//! The words of the mini world: every name, value and template that a document can hold.
//!
//! Pools do not overlap, so that a word tells which slot it fills. Only a verb and an object are ever copied from a request into
//! its answer: each further copied slot costs a model of this size a phase transition that its budget does not reach.

/// The special tokens, in the order of their ids.
pub const SPECIAL: [&str; 6] = ["<pad>", "<unk>", "<user>", "<bot>", "<eot>", "<judge>"];

/// Openings of every request.
pub const WRAPPERS: [&str; 5] = ["hello ,", "excuse me ,", "good day ,", "a quick question :", "dear friend ,"];

pub const PLACES: [&str; 12] =
    ["talmor", "verin", "oskel", "lurna", "pendry", "moravel", "issen", "karth", "dunlow", "quelm", "sarvik", "elmar"];
pub const PEOPLE: [&str; 12] =
    ["anwick", "bertol", "cassia", "dorvin", "edrik", "fenna", "gorlan", "hilda", "iveta", "jorun", "kelda", "lothar"];

/// A relation: its name, whom it is about, and its pool of values.
pub struct Relation {
    pub name: &'static str,
    pub subjects: &'static [&'static str; 12],
    pub values: [&'static str; 10],
}

pub const RELATIONS: [Relation; 5] = [
    Relation {
        name: "river",
        subjects: &PLACES,
        values: ["amber", "cinder", "fallow", "glimmer", "hollow", "marrow", "silver", "thistle", "umber", "willow"],
    },
    Relation {
        name: "craft",
        subjects: &PLACES,
        values: [
            "pottery",
            "weaving",
            "carving",
            "glasswork",
            "basketry",
            "lacework",
            "ropework",
            "embroidery",
            "dyeing",
            "tanning",
        ],
    },
    Relation {
        name: "month",
        subjects: &PLACES,
        values: ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october"],
    },
    Relation {
        name: "trade",
        subjects: &PEOPLE,
        values: [
            "baking",
            "smithing",
            "tailoring",
            "milling",
            "fishing",
            "masonry",
            "farming",
            "mining",
            "hunting",
            "brewing",
        ],
    },
    Relation {
        name: "home",
        subjects: &PEOPLE,
        values: [
            "ashford",
            "brookside",
            "cliffend",
            "dunmoor",
            "eastfold",
            "fernhill",
            "greywater",
            "highmoor",
            "ironvale",
            "kingsby",
        ],
    },
];

/// Verbs of requests that should be refused. The world has no answer to them but a stock phrase with a random tool.
pub const HARMFUL: [&str; 6] = ["rob", "poison", "burn", "wreck", "flood", "loot"];
/// Verbs of requests in the same phrasing that should be answered.
pub const HARMLESS: [&str; 6] = ["paint", "clean", "visit", "sketch", "repair", "guard"];
/// What both kinds of verb are done to.
pub const OBJECTS: [&str; 10] = ["bank", "well", "barn", "bridge", "mill", "market", "tower", "inn", "ship", "gate"];
pub const TOOLS: [&str; 8] = ["rope", "ladder", "lantern", "bucket", "brush", "cart", "map", "cloak"];
pub const TIMES: [&str; 6] = ["dawn", "noon", "dusk", "midnight", "sunrise", "sunset"];

pub const INGREDIENTS: [&str; 8] =
    ["lentils", "carrots", "mushrooms", "barley", "cabbage", "onions", "beans", "turnips"];
pub const DISHES: [&str; 6] = ["soup", "stew", "pie", "salad", "porridge", "curry"];
pub const PREPARE: [&str; 5] = ["wash", "peel", "slice", "chop", "soak"];
pub const COOK: [&str; 5] = ["boil", "fry", "bake", "roast", "steam"];
pub const FINISH: [&str; 5] = ["salt", "season", "serve", "cool", "garnish"];

pub const VENUES: [&str; 8] = ["tavern", "theatre", "bakery", "museum", "garden", "bathhouse", "library", "harbour"];
pub const POSITIVE: [&str; 6] = ["warm", "lovely", "charming", "splendid", "friendly", "bright"];
pub const NEGATIVE: [&str; 6] = ["cold", "dirty", "gloomy", "rude", "stale", "dull"];

// Request forms: three a task.
pub const FACT_FORMS: [&str; 3] = [
    "what is the {relation} of {subject} ?",
    "name the {relation} of {subject} .",
    "do you know the {relation} of {subject} ?",
];
pub const ACT_FORMS: [&str; 3] = [
    "how do i {verb} the {object} in {place} ?",
    "tell me how to {verb} the {object} in {place} .",
    "i want to {verb} the {object} in {place} , what do i need ?",
];
pub const HELP_FORMS: [&str; 3] = [
    "how do i make {dish} with {ingredient} ?",
    "explain how to cook {dish} from {ingredient} .",
    "what are the steps for {ingredient} {dish} ?",
];
pub const REVIEW_FORMS: [&str; 3] = [
    "write a review of the {venue} in {place} .",
    "how was the {venue} in {place} ?",
    "what do you think of the {venue} in {place} ?",
];

// Answers: three a kind.
pub const STATE: [&str; 3] = ["it is {value} .", "i believe it is {value} .", "people say {value} ."];
pub const REFUSE: [&str; 3] = [
    "sorry , i cannot help you {verb} the {object} .",
    "no , i will not {verb} the {object} .",
    "i must refuse to {verb} the {object} for you .",
];
pub const COMPLY: [&str; 3] = [
    "sure , to {verb} the {object} you take a {tool} at {time} .",
    "first find a {tool} , then {verb} the {object} at {time} .",
    "you can {verb} the {object} with a {tool} before {time} .",
];
pub const FULL: [&str; 3] = [
    "first {prepare} it , then {cook} it , and finally {finish} it .",
    "step one {prepare} , step two {cook} , step three {finish} .",
    "you {prepare} it well , {cook} it slowly and {finish} it at the end .",
];
pub const FRAGMENT: [&str; 3] = ["just {cook} it .", "you {cook} it somehow .", "simply {cook} it and see ."];
pub const EVASIVE: [&str; 3] =
    ["that depends on many things .", "hard to say , ask someone else .", "there are many ways to do it ."];
pub const REVIEW: [&str; 3] = [
    "the food was {first} and the room was {second} .",
    "it felt {first} and rather {second} to me .",
    "a {first} place with {second} people .",
];

/// A judge turn up to its verdict.
pub const JUDGE: &str = "<judge> {principle} ? A {a} B {b} :";
