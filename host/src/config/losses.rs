//! The keys of `[train]` that shape the loss: what they mean to each other, in the file and with a stage's overrides. Arithmetic is
//! `train/loss`'s.

use super::document::join;
use super::problem::Problem;
use super::schema::nearest;
use super::sections::{Loss, LossChoice, LossTerm, Train};
use crate::error::UserError;
use crate::records::Overrides;

impl Loss {
    /// All, in the order of the reference page.
    pub const ALL: [Self; 13] = [
        Self::Dpo,
        Self::Cdpo,
        Self::Robust,
        Self::Ipo,
        Self::Hinge,
        Self::SigmoidNorm,
        Self::Simpo,
        Self::Orpo,
        Self::Kto,
        Self::Nca,
        Self::ApoZero,
        Self::ApoDown,
        Self::Nll,
    ];

    /// As the config writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dpo => "dpo",
            Self::Cdpo => "cdpo",
            Self::Robust => "robust",
            Self::Ipo => "ipo",
            Self::Hinge => "hinge",
            Self::SigmoidNorm => "sigmoid-norm",
            Self::Simpo => "simpo",
            Self::Orpo => "orpo",
            Self::Kto => "kto",
            Self::Nca => "nca",
            Self::ApoZero => "apo-zero",
            Self::ApoDown => "apo-down",
            Self::Nll => "nll",
        }
    }

    /// The loss of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|loss| loss.name() == name)
    }

    /// Whether it compares with a reference model.
    pub fn needs_reference(self) -> bool {
        !matches!(self, Self::Simpo | Self::Orpo | Self::Nll)
    }

    /// Whether `label_smoothing` means something to it.
    pub fn takes_label_smoothing(self) -> bool {
        matches!(self, Self::Dpo | Self::Cdpo | Self::Robust | Self::Simpo)
    }
}

impl LossChoice {
    /// The terms of the sum.
    pub fn terms(&self) -> Vec<LossTerm> {
        match self {
            Self::One(name) => vec![LossTerm { name: *name, weight: 1.0, beta: None }],
            Self::Mix(terms) => terms.clone(),
        }
    }

    /// Whether one of them has this name.
    pub fn has(&self, name: Loss) -> bool {
        match self {
            Self::One(one) => *one == name,
            Self::Mix(terms) => terms.iter().any(|term| term.name == name),
        }
    }
}

impl From<Loss> for LossChoice {
    fn from(name: Loss) -> Self {
        Self::One(name)
    }
}

impl Train {
    /// The settings of a stage: these, with the staging policy's departures from them. The learning rate's scale is not applied.
    pub fn with(&self, overrides: &Overrides) -> Result<Self, UserError> {
        let mut train = self.clone();
        if let Some(name) = &overrides.loss {
            let Some(loss) = Loss::named(name) else {
                let names = Loss::ALL.map(Loss::name);
                let hint = match nearest(name, &names) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("losses: {}", names.join(", ")),
                };
                return Err(UserError::new(format!(
                    "the staging policy asks for the loss `{name}`, which there is not"
                ))
                .hint(hint));
            };
            train.loss = loss.into();
        }
        train.beta = overrides.beta.unwrap_or(self.beta);
        train.label_smoothing = overrides.label_smoothing.unwrap_or(self.label_smoothing);
        train.nll_weight = overrides.nll_weight.unwrap_or(self.nll_weight);
        train.epochs = overrides.epochs.unwrap_or(self.epochs);
        match problems(&train).into_iter().next() {
            None => Ok(train),
            Some(problem) => Err(UserError::new(format!("with what the staging policy sets, {problem}"))
                .hint(problem.hint.unwrap_or_else(|| "change the policy's settings (`stage.settings`)".into()))),
        }
    }

    /// What is set and has no meaning for this loss, in a sentence each.
    pub fn not_applied(&self) -> Vec<String> {
        let default = Self::default();
        let smoothed = self.loss.terms().iter().any(|term| term.name.takes_label_smoothing());
        let with_reference = self.loss.terms().iter().any(|term| term.name.needs_reference());
        [
            (!smoothed && self.label_smoothing > 0.0).then(|| format!("label smoothing {}", self.label_smoothing)),
            (!self.loss.has(Loss::Simpo) && self.gamma != default.gamma).then(|| format!("gamma {}", self.gamma)),
            (!self.loss.has(Loss::Orpo) && self.orpo_lambda != default.orpo_lambda)
                .then(|| format!("orpo_lambda {}", self.orpo_lambda)),
            (!self.loss.has(Loss::Kto)
                && [self.desirable_weight, self.undesirable_weight]
                    != [default.desirable_weight, default.undesirable_weight])
            .then(|| {
                format!("desirable_weight {}, undesirable_weight {}", self.desirable_weight, self.undesirable_weight)
            }),
            (!with_reference && self.reference != default.reference).then(|| "the reference".to_owned()),
        ]
        .into_iter()
        .flatten()
        .map(|what| format!("{what} has no meaning for this loss and is not applied"))
        .collect()
    }
}

/// What the loss's keys get wrong between them. Each one's range is the schema's business.
pub fn problems(train: &Train) -> Vec<Problem> {
    let mut out = Vec::new();
    let mut positive = |path: String, beta: f64| {
        if beta <= 0.0 {
            out.push(Problem::new(path, format!("= {beta}: must be above 0")));
        }
    };
    positive("train.beta".into(), train.beta);
    if let LossChoice::Mix(terms) = &train.loss {
        let path = |i: usize, key: &str| join(&join("train.loss", &i.to_string()), key);
        for (i, term) in terms.iter().enumerate() {
            if let Some(beta) = term.beta {
                positive(path(i, "beta"), beta);
            }
        }
        for (i, term) in terms.iter().enumerate() {
            if terms[..i].iter().any(|earlier| earlier.name == term.name) {
                let problem = Problem::new(path(i, "name"), format!("= {:?}: is there already", term.name.name()));
                out.push(problem.hint("name each loss once, and give it the sum of the weights"));
            }
        }
        if terms.iter().all(|term| term.weight == 0.0) {
            let problem = Problem::new("train.loss", "has only weights of 0");
            out.push(problem.hint("leave a weight out and it is 1"));
        }
    }
    if train.loss.has(Loss::Robust) && train.label_smoothing >= 0.5 {
        let problem = Problem::new(
            "train.label_smoothing",
            format!("= {}: must be below 0.5 for the loss `robust`", train.label_smoothing),
        );
        out.push(problem.hint("`robust` divides by 1 − 2ε; with half of the labels wrong there is nothing to learn"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loss_is_found_by_the_name_that_the_config_writes() {
        for loss in Loss::ALL {
            assert_eq!(serde_json::to_value(loss).expect("JSON"), loss.name());
            assert_eq!(Loss::named(loss.name()), Some(loss));
        }
        let schema = super::super::schema::Schema::of_config();
        let names = super::super::schema::choices(&schema.root()["$defs"]["Loss"]).expect("choices");
        assert_eq!(names, Loss::ALL.map(Loss::name), "a loss that `ALL` forgets");
    }

    #[test]
    fn a_stages_overrides_are_checked_as_the_file_is() {
        let train = Train::default();
        let error = |overrides: Overrides| train.with(&overrides).expect_err("refused");
        let unknown = error(Overrides { loss: Some("apo_zero".into()), ..Overrides::default() });
        assert_eq!(unknown.message, "the staging policy asks for the loss `apo_zero`, which there is not");
        assert_eq!(unknown.hint.as_deref(), Some("did you mean `apo-zero`?"));
        let far = error(Overrides { loss: Some("reinforce".into()), ..Overrides::default() });
        assert!(far.hint.is_some_and(|hint| hint.starts_with("losses: dpo, cdpo, robust")));
        let zero = error(Overrides { beta: Some(0.0), ..Overrides::default() });
        assert_eq!(zero.message, "with what the staging policy sets, train.beta = 0: must be above 0");
        let robust =
            error(Overrides { loss: Some("robust".into()), label_smoothing: Some(0.5), ..Overrides::default() });
        assert!(robust.message.contains("must be below 0.5 for the loss `robust`"), "{}", robust.message);
    }

    #[test]
    fn a_stages_overrides_replace_what_they_name_and_nothing_else() {
        let mix = vec![
            LossTerm { name: Loss::Dpo, weight: 1.0, beta: None },
            LossTerm { name: Loss::Simpo, weight: 0.5, beta: Some(2.0) },
        ];
        let train = Train { loss: LossChoice::Mix(mix.clone()), gamma: 1.0, ..Train::default() };
        let set = Overrides { beta: Some(0.3), epochs: Some(4), ..Overrides::default() };
        let stage = train.with(&set).expect("sound");
        assert_eq!((stage.beta, stage.epochs, stage.loss.terms(), stage.gamma), (0.3, 4, mix, 1.0));
        let other = train.with(&Overrides { loss: Some("ipo".into()), ..Overrides::default() }).expect("sound");
        assert_eq!(other.loss, LossChoice::One(Loss::Ipo));
    }

    #[test]
    fn what_a_loss_does_not_take_is_said() {
        let train = Train { loss: Loss::Ipo.into(), label_smoothing: 0.1, gamma: 1.0, ..Train::default() };
        assert_eq!(
            train.not_applied(),
            [
                "label smoothing 0.1 has no meaning for this loss and is not applied",
                "gamma 1 has no meaning for this loss and is not applied"
            ]
        );
        assert!(Train { loss: Loss::Simpo.into(), ..train }.not_applied().is_empty());
        assert!(Train::default().not_applied().is_empty());
    }
}
