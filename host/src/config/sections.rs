//! The config file as typed: one struct a section, with the meaning, default and range of every key.
//!
//! `docs/config-reference.md` and the checks on the file are both made from these types (through their JSON Schema), so
//! a range written here is a range enforced. Paths are as the user wrote them; `resolve` makes them absolute.
//!
//! Longer than a file here should be, on purpose: it is the reference page, read from top to bottom.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::records::QuestionKind;

/// A whole config file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    /// Name of the run; its folder is `runs/<name>` unless `--out` says otherwise. Letters, digits, `-` and `_`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_-]+$"))]
    pub name: String,
    /// Everything random is drawn from this.
    #[serde(default)]
    pub seed: u64,
    /// Write a small invented world (corpus, prompts, evaluation, tokenizer) instead of reading data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub world: Option<World>,
    /// Where the prompts come from. Left out only where `[world]` makes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Data>,
    /// The model to align.
    #[serde(default)]
    pub model: ModelSection,
    /// Which models answer the scorers' questions.
    #[serde(default)]
    pub models: Models,
    /// Train a small model first (from random weights, or on from `model.path`) and align that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sft: Option<Sft>,
    /// How responses are sampled.
    #[serde(default)]
    pub generate: Generate,
    /// The scorers, in order.
    #[serde(default)]
    pub scorer: Vec<Scorer>,
    /// How scores are scaled and combined into one `u`.
    #[serde(default)]
    pub score: Score,
    /// How pairs are built.
    #[serde(default)]
    pub pair: PairSection,
    /// Preference rows made elsewhere, trained on as they are: nothing is generated, scored or paired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairs: Option<Pairs>,
    /// Which staging policy divides the pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<StageSection>,
    /// Preference training.
    #[serde(default)]
    pub train: Train,
    /// What is measured before and after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluate: Option<Evaluate>,
    /// What a plugin may use.
    #[serde(default)]
    pub limits: Limits,
}

/// An invented world whose truths are known exactly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct World {
    /// Which world; `mini` is the only one.
    pub kind: WorldKind,
    /// Draws the facts, the corpus and the prompts; the run's `seed` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Documents in the corpus.
    #[serde(default = "world_documents")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub documents: usize,
    /// Prompts to align on.
    #[serde(default = "world_prompts")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub prompts: usize,
}

impl Default for World {
    fn default() -> Self {
        Self { kind: WorldKind::Mini, seed: None, documents: world_documents(), prompts: world_prompts() }
    }
}

/// The worlds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WorldKind {
    /// Invented places and people; see docs/mini-world.md.
    Mini,
}

fn world_documents() -> usize {
    64_000
}
fn world_prompts() -> usize {
    512
}

/// A file of prompts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// The files, in order.
    #[schemars(length(min = 1))]
    pub paths: Vec<PathBuf>,
    /// `jsonl` (one object a line), `csv` (a header line) or `text` (one prompt a line). By the file's ending where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<DataFormat>,
    /// The JSONL field or CSV column that holds the prompt: a string, or a list of messages in JSONL.
    #[serde(default = "prompt_field")]
    pub field: String,
    /// The JSONL field or CSV column that holds the group, where there is one.
    #[serde(default = "group_field")]
    pub group_field: String,
    /// `utf-8` or `latin-1`.
    #[serde(default)]
    pub encoding: Encoding,
    /// Keep this many prompts at the most, the first ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub limit: Option<usize>,
    /// Use only one part of the lines, divided by a hash of their content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// Cut every text prompt to its first n words, n drawn per prompt from this closed range. Prompts with fewer words are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_words: Option<[usize; 2]>,
}

fn prompt_field() -> String {
    "prompt".into()
}
fn group_field() -> String {
    "group".into()
}

/// How prompts are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DataFormat {
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated, with a header line.
    Csv,
    /// One prompt a line.
    Text,
}

/// How text is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Encoding {
    /// UTF-8.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// ISO 8859-1.
    #[serde(rename = "latin-1")]
    Latin1,
}

/// A part of the lines of a file: those whose content hashes into [from, to) of the unit interval. Two configs that name
/// the same parts divide the same file the same way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Included.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub from: f64,
    /// Excluded.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub to: f64,
}

/// The model to align.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSection {
    /// A Hugging Face model folder. Left out only where `[sft.model]` describes a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// `cpu`, `cuda`, or `auto`: CUDA where its libraries and a device are found.
    pub device: DeviceChoice,
    /// Of weights and activations.
    pub dtype: Dtype,
    /// CPU threads of libtorch; 0 leaves it to libtorch. More than one can change the last bits of sums.
    #[schemars(range(max = 1024))]
    pub threads: usize,
    /// Read the text of special tokens (such as `<|im_end|>`) inside a message as those tokens, as transformers does. Otherwise it is
    /// ordinary text: only the chat template writes special tokens.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub special_tokens_in_messages: bool,
}

impl Default for ModelSection {
    fn default() -> Self {
        Self {
            path: None,
            device: DeviceChoice::Auto,
            dtype: Dtype::F32,
            threads: 1,
            special_tokens_in_messages: false,
        }
    }
}

/// Which models answer the scorers' questions. What is not given here, the model to align answers itself. They run on `model.device`, in f32.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Models {
    /// A folder of an encoder that answers `embed`: sentence-transformers' (mean or cls pooling), or a plain Hugging Face one, whose hidden
    /// states are averaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embed: Option<PathBuf>,
    /// A Hugging Face folder of a cross-encoder that answers `entail`; its `id2label` names entailment, neutral and contradiction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entail: Option<PathBuf>,
}

/// Where the model runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// CUDA where there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The first CUDA device; an error where there is none.
    Cuda,
}

/// Number format of weights and activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit floats.
    #[default]
    F32,
    /// bfloat16.
    Bf16,
}

/// Supervised fine-tuning, or pre-training from random weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sft {
    /// Text files: one document a line, or JSONL with `text`. Left out only where `[world]` writes a corpus.
    #[serde(default)]
    pub paths: Vec<PathBuf>,
    /// `utf-8` or `latin-1`.
    #[serde(default)]
    pub encoding: Encoding,
    /// Use only one part of the lines, divided by a hash of their content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// The shape of a new model. Left out: `model.path` is trained further.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<NewModel>,
    /// How a new model's tokenizer is made from the text. Left out only where `[world]` writes one, or with `model.path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<NewTokenizer>,
    /// Optimizer steps.
    #[schemars(range(min = 1))]
    pub steps: usize,
    /// Documents a step.
    #[serde(default = "sft_batch")]
    #[schemars(range(min = 1, max = 65_536))]
    pub batch: usize,
    /// Peak learning rate of AdamW (betas 0.9, 0.98): warm-up, constant to half way, then linear to 2 %.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub learning_rate: f64,
    /// Steps of linear warm-up.
    #[serde(default = "sft_warmup")]
    pub warmup: usize,
    /// Decoupled weight decay.
    #[serde(default = "sft_decay")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub weight_decay: f64,
    /// Documents longer than this many tokens are cut.
    #[serde(default = "sft_max_tokens")]
    #[schemars(range(min = 2))]
    pub max_tokens: usize,
    /// Write a checkpoint every so many steps, from which a run that was killed goes on; the last two are kept. 0: none.
    #[serde(default = "sft_save_steps")]
    pub save_steps: usize,
}

fn sft_save_steps() -> usize {
    500
}

fn sft_batch() -> usize {
    16
}
fn sft_warmup() -> usize {
    30
}
fn sft_decay() -> f64 {
    0.05
}
fn sft_max_tokens() -> usize {
    512
}

/// The shape of a new Llama-like decoder (tied embeddings).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewModel {
    /// Width of the residual stream.
    #[schemars(range(min = 2, max = 65_536))]
    pub hidden: usize,
    /// Blocks.
    #[schemars(range(min = 1, max = 1024))]
    pub layers: usize,
    /// Attention heads; must divide `hidden` into even head sizes.
    #[schemars(range(min = 1, max = 1024))]
    pub heads: usize,
    /// Width of the feed-forward layer.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub feed_forward: usize,
    /// Longest sequence.
    #[serde(default = "new_positions")]
    #[schemars(range(min = 2))]
    pub positions: usize,
    /// Multiply embeddings by √hidden, so that a small tied initialisation does not starve the first block.
    #[serde(default = "yes")]
    pub scale_embedding: bool,
}

fn new_positions() -> usize {
    512
}

/// A tokenizer made from the training text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTokenizer {
    /// `word` (split at white space) or `bpe` (byte-level).
    pub kind: TokenizerKind,
    /// Entries at the most.
    #[schemars(range(min = 8, max = 1_000_000))]
    pub vocabulary: usize,
}

/// Kinds of tokenizer that can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenizerKind {
    /// White-space words.
    Word,
    /// Byte-level byte-pair encoding.
    Bpe,
}

/// Sampling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Generate {
    /// Responses made elsewhere, read instead of sampling: JSONL with `prompt` and `responses` (texts, or objects with `text`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// The field of `from` that holds the prompt, or a dotted path to it; `prompt`, else `question`, where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_field: Option<String>,
    /// The field of `from` that holds the list of responses, or a dotted path such as `generations.text`; `responses` where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub responses_field: Option<String>,
    /// Responses per prompt (N).
    #[schemars(range(min = 2, max = 1024))]
    pub responses: usize,
    /// Softmax temperature; 0 is greedy.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub temperature: f64,
    /// Keep the k likeliest tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the smallest set of tokens with this much probability.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub top_p: f64,
    /// Keep tokens that are at least this much as probable as the likeliest; 0 keeps all.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_p: f64,
    /// Divide positive logits of tokens that the prompt or the response holds by this, and multiply negative ones; 1 changes nothing.
    /// It comes before the temperature; top-k, top-p and min-p follow in this order, as in transformers.
    #[schemars(range(min = 0.1, max = 10.0))]
    pub repetition_penalty: f64,
    /// Texts that end a response, beside the model's end tokens. The response keeps the text that ended it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(length(min = 1)))]
    pub stop: Vec<String>,
    /// Token limit of a response.
    #[schemars(range(min = 1))]
    pub max_tokens: usize,
    /// Prompts sampled together: the grain of resume. Changing it changes no prompt's randomness, only batch shapes.
    #[schemars(range(min = 1, max = 65_536))]
    pub unit: usize,
    /// Mebibytes for keys and values: as many prompts as fit are sampled at once, each with all its responses. Where libtorch has less, half
    /// as many are tried.
    #[schemars(range(min = 1, max = 16_777_216))]
    pub memory_mib: usize,
}

impl Default for Generate {
    fn default() -> Self {
        Self {
            from: None,
            prompt_field: None,
            responses_field: None,
            responses: 8,
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            stop: Vec::new(),
            max_tokens: 256,
            unit: 64,
            memory_mib: 2048,
        }
    }
}

/// One scorer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scorer {
    /// The plugin's name, as it describes itself.
    pub plugin: String,
    /// Name of this use of it in records and the report; the plugin's name where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Weight among the scorers of the same dimension.
    #[serde(default = "one_f")]
    #[schemars(range(min = 0.0))]
    pub weight: f64,
    /// Kinds of question it may ask.
    #[serde(default)]
    pub grant: Vec<QuestionKind>,
    /// The plugin's own settings.
    #[serde(default)]
    pub settings: BTreeMap<String, serde_json::Value>,
    /// What happens to a sample on which it fails.
    #[serde(default)]
    pub on_fault: OnFault,
    /// Hex SHA-256 that the plugin's file must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
    /// Run the shared library `PLUGIN.so` of the plugin directory instead of the component: without a sandbox and without
    /// limits, so `sha256` must pin it.
    #[serde(default)]
    pub native: bool,
}

/// What a fault does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFault {
    /// The run stops; what was computed stays.
    #[default]
    Stop,
    /// The sample is recorded as faulty and makes no pair.
    Skip,
}

/// Scaling and combining.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Score {
    /// How a scorer's values are brought to one scale, over the whole data set.
    pub scale: Scale,
    /// How the dimensions become one `u`.
    pub combine: Combine,
    /// Weights of the dimensions, by name; those left out weigh 1, and they are normalised over the dimensions scored.
    pub weights: BTreeMap<String, f64>,
    /// A response whose raw value uncertainty is above this may never be chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub veto_value_above: Option<f64>,
    /// A scaler that an earlier run saved (`scaler.json`), used instead of fitting one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaler: Option<PathBuf>,
}

impl Default for Score {
    fn default() -> Self {
        Self {
            scale: Scale::Robust,
            combine: Combine::Mean,
            weights: BTreeMap::new(),
            veto_value_above: None,
            scaler: None,
        }
    }
}

/// Scaling over the data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// (x − median) / IQR through a logistic.
    Robust,
    /// Linear from the 5 % to the 95 % quantile, clipped.
    Quantile,
    /// Rank among all values, ties sharing their mean rank.
    Rank,
    /// As the plugin gave it.
    None,
}

/// Combining dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Combine {
    /// Weighted mean.
    Mean,
    /// The largest.
    Max,
}

/// Pairing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PairSection {
    /// Which response is rejected; the chosen one has the lowest `u`.
    pub rejected: Rejected,
    /// Pairs with a smaller Δu are dropped.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_gap: f64,
    /// Pairs per prompt at the most, with different rejected responses.
    #[schemars(range(min = 1, max = 1024))]
    pub per_prompt: usize,
    /// Drop pairs in which a response was cut by the token limit.
    pub drop_truncated: bool,
}

impl Default for PairSection {
    fn default() -> Self {
        Self { rejected: Rejected::Worst, min_gap: 0.02, per_prompt: 1, drop_truncated: true }
    }
}

/// Which response is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rejected {
    /// The highest `u`.
    Worst,
    /// The middle of those above the chosen.
    Median,
    /// The lowest `u` above the chosen.
    Second,
    /// Drawn from those above the chosen.
    RandomWorse,
}

/// Preference rows made elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pairs {
    /// JSONL, or Parquet by its ending, in TRL's schema: `chosen` and `rejected`, texts or lists of messages, with `prompt` or beginning
    /// with it. May carry token ids, which are trained on as they are, and ratings, without which there are no stages.
    pub from: PathBuf,
    /// The most tokens of the prompt with either response; the model's longest sequence where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2))]
    pub max_tokens: Option<usize>,
    /// What becomes of a longer one.
    #[serde(default)]
    pub too_long: TooLong,
    /// The worst and the best rating there can be: ratings are mapped from here to [0, 1].
    #[serde(default = "rating_range")]
    pub rating_range: [f64; 2],
}

impl Pairs {
    /// The rows of a file, everything else as it is by default.
    pub fn of(from: PathBuf) -> Self {
        Self { from, max_tokens: None, too_long: TooLong::default(), rating_range: rating_range() }
    }
}

fn rating_range() -> [f64; 2] {
    [0.0, 1.0]
}

/// What becomes of a pair that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TooLong {
    /// The pair is dropped, and recorded in `drops.jsonl`.
    #[default]
    Drop,
    /// Its responses lose their last tokens, as by TRL's `max_length`, and are counted. Dropped where the prompt leaves no room.
    Truncate,
}

/// Staging.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StageSection {
    /// The staging policy's name, as it describes itself.
    pub policy: String,
    /// The policy's own settings.
    #[serde(default)]
    pub settings: BTreeMap<String, serde_json::Value>,
    /// Hex SHA-256 that the plugin's file must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
    /// Run the shared library `POLICY.so` of the plugin directory instead of the component: without a sandbox and without
    /// limits, so `sha256` must pin it.
    #[serde(default)]
    pub native: bool,
}

/// Preference training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Train {
    /// The loss (formulas in docs/method.md), or several, weighted and added: `loss = [{ name = "dpo" }, { name = "nca", weight = 0.5 }]`.
    pub loss: LossChoice,
    /// β: how strongly the policy is held to the reference. Losses without a reference want a larger one: `simpo` 2 to 2.5.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub beta: f64,
    /// ε: the share of labels taken to be wrong, by `dpo`, `cdpo`, `robust` (below 0.5) and `simpo`.
    #[schemars(range(min = 0.0, max = 0.5))]
    pub label_smoothing: f64,
    /// γ of `simpo`: the margin wanted between the two mean log-probabilities, times β.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub gamma: f64,
    /// λ of `orpo`: weight of its odds-ratio term beside the NLL.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub orpo_lambda: f64,
    /// λ_D of `kto`: weight of the chosen responses.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub desirable_weight: f64,
    /// λ_U of `kto`: weight of the rejected responses.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub undesirable_weight: f64,
    /// η: weight of the chosen responses' NLL per token, added to any loss.
    #[schemars(range(min = 0.0))]
    pub nll_weight: f64,
    /// What an NLL (`nll_weight`, `nll`, `orpo`) is the mean over.
    pub nll_mean: NllMean,
    /// Peak learning rate of AdamW; 5e-7 (full) or 1e-5 (LoRA) where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub learning_rate: Option<f64>,
    /// The rate's course within a stage, after the warm-up.
    pub schedule: Schedule,
    /// Share of a stage's steps spent on warm-up.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub warmup: f64,
    /// Where the linear and the cosine schedule end, as a share of the peak.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub final_rate: f64,
    /// AdamW's β₁ and β₂.
    pub adam_betas: [f64; 2],
    /// Decoupled weight decay.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub weight_decay: f64,
    /// Gradients are clipped to this norm.
    #[schemars(range(min = 0.0))]
    pub max_grad_norm: f64,
    /// Pairs an optimizer step.
    #[schemars(range(min = 1, max = 65_536))]
    pub batch: usize,
    /// Pairs in memory at once, at most; 0: as many as `activation_memory` has room for. A batch that is divided changes rounding only.
    pub micro_batch: usize,
    /// MiB that a step may keep for its backward pass, weights and optimizer not counted: batches and logits are divided to keep to it.
    #[schemars(range(min = 1))]
    pub activation_memory: usize,
    /// Compute each block again in the backward pass instead of keeping what it computed: a third more work for a fraction of the memory.
    pub gradient_checkpointing: Recompute,
    /// Write a checkpoint every so many steps, from which a run that was killed goes on; 0: only after each stage.
    pub save_steps: usize,
    /// Checkpoints within a stage that are kept; those of stages all are.
    #[schemars(range(min = 1))]
    pub save_total_limit: usize,
    /// Stop, and go back to the last good checkpoint, when the chosen responses' mean KL estimate to the initial model, in nats a token,
    /// exceeds this.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub max_kl: Option<f64>,
    /// The same when the chosen responses' log-probability has fallen by more than this since the stage began, in nats a response.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub max_chosen_drop: Option<f64>,
    /// Passes over a stage's pairs, unless the policy says otherwise.
    #[schemars(range(min = 1, max = 1000))]
    pub epochs: u32,
    /// What the loss compares with: the policy before each stage (`previous`), as the staging policy says, or always the `initial` model.
    pub reference: Reference,
    /// Train a low-rank adapter instead of all weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora: Option<Lora>,
}

impl Default for Train {
    fn default() -> Self {
        Self {
            loss: LossChoice::One(Loss::Dpo),
            beta: 0.1,
            label_smoothing: 0.0,
            gamma: 0.5,
            orpo_lambda: 0.1,
            desirable_weight: 1.0,
            undesirable_weight: 1.0,
            nll_weight: 0.0,
            nll_mean: NllMean::Response,
            learning_rate: None,
            schedule: Schedule::Linear,
            warmup: 0.1,
            final_rate: 0.05,
            adam_betas: [0.9, 0.999],
            weight_decay: 0.0,
            max_grad_norm: 1.0,
            batch: 32,
            micro_batch: 0,
            activation_memory: 256,
            gradient_checkpointing: Recompute::Auto,
            save_steps: 100,
            save_total_limit: 2,
            max_kl: None,
            max_chosen_drop: None,
            epochs: 1,
            reference: Reference::Previous,
            lora: None,
        }
    }
}

impl Train {
    /// Without what changes no output: when checkpoints are written, and whether blocks are computed twice.
    pub fn keyed(&self) -> Self {
        let Self { gradient_checkpointing, save_steps, save_total_limit, .. } = Self::default();
        Self { gradient_checkpointing, save_steps, save_total_limit, ..self.clone() }
    }
}

/// Whether blocks are computed again in the backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Recompute {
    /// Where one pair alone would exceed `activation_memory`.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// One loss, or several with weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum LossChoice {
    /// By name.
    One(Loss),
    /// Their weighted sum.
    Mix(#[schemars(length(min = 1))] Vec<LossTerm>),
}

/// One loss of several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LossTerm {
    /// Which; none twice.
    pub name: Loss,
    /// What it is multiplied by.
    #[serde(default = "one_f")]
    #[schemars(range(min = 0.0))]
    pub weight: f64,
    /// Its own β; `train.beta`, or what the staging policy sets instead, where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 100.0))]
    pub beta: Option<f64>,
}

/// The preference losses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// −log σ(βh); with `label_smoothing`, cDPO.
    Dpo,
    /// The same as `dpo`, for those who set `label_smoothing`.
    Cdpo,
    /// cDPO without its bias: unbiased where a share `label_smoothing` of the labels is wrong.
    Robust,
    /// (h̄ − 1/(2β))², h̄ from per-token means.
    Ipo,
    /// max(0, 1 − βh).
    Hinge,
    /// −log σ(βh̄), h̄ from per-token means.
    SigmoidNorm,
    /// −log σ(β · difference of mean log-probabilities − `gamma`); no reference.
    Simpo,
    /// NLL − `orpo_lambda` · log σ(difference of log odds); no reference.
    Orpo,
    /// Both responses on their own against the batch's KL, with `desirable_weight` and `undesirable_weight`. Two more forward passes a step.
    Kto,
    /// −log σ(r_w) − ½ log σ(−r_w) − ½ log σ(−r_l).
    Nca,
    /// (1 − σ(r_w)) + σ(r_l): up with the chosen, down with the rejected.
    ApoZero,
    /// σ(r_w) + (1 − σ(βh)): down with both, more with the rejected.
    ApoDown,
    /// The chosen responses' NLL alone: supervised fine-tuning on them; no reference.
    Nll,
}

/// What a negative log-likelihood is the mean over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NllMean {
    /// The tokens of each response, then the pairs: every pair weighs the same.
    Response,
    /// All tokens of the batch: every token weighs the same, as in TRL.
    Token,
}

/// Learning-rate schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Linear to `final_rate`.
    Linear,
    /// Half a cosine to `final_rate`.
    Cosine,
    /// Constant.
    Constant,
}

/// Reference models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reference {
    /// Refreshed where the staging policy says so.
    Previous,
    /// Never refreshed.
    Initial,
}

/// A low-rank adapter, in PEFT's terms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lora {
    /// Rank.
    #[schemars(range(min = 1, max = 4096))]
    pub rank: usize,
    /// Scale is alpha / rank.
    #[schemars(range(min = 1e-6))]
    pub alpha: f64,
    /// Scale is alpha / √rank instead (rsLoRA, Kalajdzievski 2023), which keeps large ranks learning.
    #[serde(default)]
    pub rslora: bool,
    /// Share of the adapter's inputs that are dropped in training.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 0.99))]
    pub dropout: f64,
    /// Also write the model with the adapter added to its weights, as `model/`.
    #[serde(default)]
    pub merge: bool,
    /// Names of the layers adapted.
    #[serde(default = "lora_targets")]
    #[schemars(length(min = 1))]
    pub targets: Vec<String>,
}

impl Default for Lora {
    /// PEFT's numbers, on every linear layer.
    fn default() -> Self {
        Self { rank: 8, alpha: 8.0, rslora: false, dropout: 0.0, merge: false, targets: lora_targets() }
    }
}

fn lora_targets() -> Vec<String> {
    ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"].map(String::from).into()
}

/// Evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evaluate {
    /// JSONL of prompts with labelled patterns (see docs/evaluate.md). Left out where `[world]` writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patterns: Option<PathBuf>,
    /// Mean probability of a class, by a bag-of-words classifier trained on labelled texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classifier: Option<Classifier>,
    /// Responses sampled per evaluation prompt, at temperature 1.
    #[serde(default = "eval_responses")]
    #[schemars(range(min = 1, max = 1024))]
    pub responses: usize,
    /// Also measure after every stage, not only before and after.
    #[serde(default)]
    pub every_stage: bool,
    /// Measure every stage as soon as it is trained, and tell the staging policy the headline measures. A policy that decides by them trains
    /// towards this evaluation set: keep another one for the final word.
    #[serde(default)]
    pub tell_policy: bool,
    /// Conditions on the model before alignment: measure name to its least value. A gate that fails is shown; the run goes on.
    #[serde(default)]
    pub gates: BTreeMap<String, f64>,
}

fn eval_responses() -> usize {
    4
}

/// A bag-of-words classifier that neither the scorers nor the training saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Classifier {
    /// Name of the class that is measured, such as `positive`.
    pub class: String,
    /// Files or folders of texts of that class: every line of a file, every file of a folder is one text.
    #[schemars(length(min = 1))]
    pub texts: Vec<PathBuf>,
    /// Likewise, of the other class.
    #[schemars(length(min = 1))]
    pub other_texts: Vec<PathBuf>,
    /// Encoding of those files.
    #[serde(default)]
    pub encoding: Encoding,
    /// Prompts whose continuations are classified; the run's own prompts come from the same kind of section.
    pub prompts: Data,
    /// Labelled lines to state the classifier's own accuracy on: [files of the class, files of the other].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<[PathBuf; 2]>,
}

/// What a plugin may use in one call. Always on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Instructions, roughly: wasmtime's fuel.
    #[schemars(range(min = 1))]
    pub fuel: u64,
    /// Linear memory of an instance, MiB.
    #[schemars(range(min = 1, max = 4096))]
    pub memory_mib: u64,
    /// Native stack of a call, KiB.
    #[schemars(range(min = 64, max = 65_536))]
    pub stack_kib: u64,
    /// What one call may return, MiB.
    #[schemars(range(min = 1, max = 1024))]
    pub output_mib: u64,
    /// Wall-clock backstop, seconds.
    #[schemars(range(min = 1, max = 3600))]
    pub seconds: u64,
    /// Rounds of questions for one sample.
    #[schemars(range(min = 1, max = 1000))]
    pub rounds: u32,
    /// Questions in one round for one sample.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub questions: usize,
    /// Tokens that one `complete` question may ask for: its number of texts times the token limit of each.
    #[schemars(range(min = 1, max = 67_108_864))]
    pub complete_tokens: u64,
    /// Log lines kept per plugin.
    pub log_lines: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: 10_000_000_000,
            memory_mib: 256,
            stack_kib: 1024,
            output_mib: 16,
            seconds: 10,
            rounds: 8,
            questions: 10_000,
            complete_tokens: 16_384,
            log_lines: 100,
        }
    }
}

fn one_f() -> f64 {
    1.0
}
fn yes() -> bool {
    true
}
