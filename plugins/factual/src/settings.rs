//! The settings of the factual scorer, and their defaults.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use udasa_plugin_sdk::judge::{Form, Wording};

/// What of a response is its answer, for `vote`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Extract {
    /// The whole text.
    Text,
    /// The last line that is not empty.
    LastLine,
    /// The last word.
    LastWord,
    /// The last number.
    LastNumber,
    /// Its words, without stop words and the prompt's own: doubted is the share of them that another response lacks,
    /// averaged over the others. Works where answers are sentences.
    #[default]
    ContentWords,
}

/// The weight of each method; one left out of a table weighs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Methods {
    /// Do the other responses confirm it?
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub vote: f64,
    /// Does the model itself call it true?
    #[serde(default, rename = "p-true")]
    #[schemars(range(min = 0.0))]
    pub p_true: f64,
}

impl Methods {
    /// The sum of the weights.
    pub fn total(self) -> f64 {
        self.vote + self.p_true
    }
}

/// The settings.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The weight of each method.
    pub methods: Methods,
    /// What of a response is its answer, for `vote`.
    pub answer: Extract,
    /// How the question of `p-true` reaches the model: `chat` (one user message) or `text` (raw, for base models).
    pub form: Form,
    /// The question of `p-true`. Places: `{prompt}`, `{response}`, and the labels `{first}` and `{second}`.
    pub template: String,
    /// The two continuations whose probabilities are compared, in the order of `{first}` and `{second}`.
    pub options: [String; 2],
    /// The two labels: the one for a true response, then the one for a false one. Asked in both orders.
    pub labels: [String; 2],
}

impl Settings {
    /// The wording of `p-true`.
    pub fn wording(&self) -> Wording<'_> {
        Wording { form: self.form, template: &self.template, options: &self.options, labels: &self.labels }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            methods: Methods { vote: 0.5, p_true: 0.5 },
            answer: Extract::default(),
            form: Form::default(),
            template: "Question: {prompt}\n\nPossible answer: {response}\n\nIs the possible answer:\n(A) {first}\n(B) {second}\n\nReply with one letter, A or B."
                .to_owned(),
            options: ["A".to_owned(), "B".to_owned()],
            labels: ["True".to_owned(), "False".to_owned()],
        }
    }
}
