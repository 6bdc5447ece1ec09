//! Rotary positions: the frequencies of every scaling that is read, as transformers' `modeling_rope_utils` computes them.

use anyhow::Result;
use serde_json::Value;

use super::fields::{Fields, SAVED};
use crate::error::UserError;

/// One set of rotary frequencies.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Base of the frequencies.
    pub theta: f64,
    /// How many numbers of a head turn, the first ones; even.
    pub size: i64,
    /// How the frequencies are stretched for longer texts.
    pub scaling: Scaling,
    /// Sine and cosine are multiplied by this (yarn, longrope); 1 for none.
    pub factor: f64,
}

/// How frequencies are changed after training, to read longer texts.
#[derive(Debug, Clone, PartialEq)]
pub enum Scaling {
    /// Not at all.
    None,
    /// All divided by this.
    Linear(f64),
    /// Llama 3's: low frequencies slowed, high ones kept, those between blended.
    Llama3 {
        /// How much low frequencies are slowed.
        factor: f64,
        /// Wavelengths above original / this are slowed fully.
        low: f64,
        /// Wavelengths below original / this are untouched.
        high: f64,
        /// Positions the model was first trained on.
        original: f64,
    },
    /// YaRN's (Peng et al. 2023): as above, with a ramp over the index of the frequency.
    Yarn {
        /// How much low frequencies are slowed.
        factor: f64,
        /// Indices up to here keep their frequency.
        from: f64,
        /// Indices from here on are slowed fully.
        to: f64,
    },
    /// LongRoPE's for texts within the original length: each frequency divided by its own factor.
    Short {
        /// One for each frequency.
        factors: Vec<f64>,
        /// Positions the model was first trained on. Longer texts turn by other factors, from the first token on.
        original: f64,
    },
}

/// What a family lets a `rope` say.
pub struct Allowed {
    /// θ where none is given.
    pub theta: f64,
    /// `partial_rotary_factor` below 1.
    pub partial: bool,
    /// `yarn` and `su` are old names of longrope (Phi-3).
    pub renamed: bool,
    /// `original_max_position_embeddings` where none is given; none: the model's positions.
    pub original: Option<f64>,
}

impl Rope {
    /// Reads one set: `scaling` is the object (`rope_parameters`, or the older `rope_scaling`), `outer` the fields of `config.json`.
    pub fn read(
        scaling: &Value,
        outer: &Fields,
        theta_key: &str,
        allowed: &Allowed,
        head_size: i64,
        positions: i64,
    ) -> Result<Self> {
        let inner = Fields::new(scaling);
        // Stands there for longrope, and says nothing where there is none.
        let _ = outer.get("original_max_position_embeddings");
        let theta = inner.number_or("rope_theta", outer.number_or(theta_key, allowed.theta)?)?;
        let size = rotary_size(&inner, outer, allowed, head_size)?;
        let kind = inner.text_or("rope_type", inner.text_or("type", "default")?)?;
        let first = allowed.original.unwrap_or(positions as f64);
        let kind = if allowed.renamed && ["yarn", "su"].contains(&kind) { "longrope" } else { kind };
        let mut rope = Self { theta, size, scaling: Scaling::None, factor: 1.0 };
        match kind {
            "default" => {}
            "linear" => rope.scaling = Scaling::Linear(inner.number("factor")?),
            "llama3" => {
                rope.scaling = Scaling::Llama3 {
                    factor: inner.number("factor")?,
                    low: inner.number("low_freq_factor")?,
                    high: inner.number("high_freq_factor")?,
                    original: original(&inner, outer, first)?,
                }
            }
            "yarn" => rope.yarn(&inner, original(&inner, outer, first)?, positions)?,
            "longrope" => rope.longrope(&inner, original(outer, &inner, first)?, positions)?,
            other => {
                return Err(UserError::new(format!("rope_type = \"{other}\" is not supported"))
                    .hint("supported: default, linear, llama3, yarn, longrope")
                    .into());
            }
        }
        inner.finish(|key| key == "original_max_position_embeddings")?;
        if rope.frequencies().iter().chain([&rope.factor]).any(|f| !f.is_finite() || *f <= 0.0) {
            return Err(UserError::new("the rope parameters give frequencies that are no positive numbers")
                .hint(SAVED)
                .into());
        }
        Ok(rope)
    }

    /// `_compute_yarn_parameters`.
    fn yarn(&mut self, inner: &Fields, original: f64, positions: i64) -> Result<()> {
        let factor = inner.number_or("factor", positions as f64 / original)?;
        // The index whose wavelength fits so often into the original length.
        let index = |turns: f64| {
            let ratio = original / (turns * 2.0 * std::f64::consts::PI);
            self.size as f64 * ratio.ln() / (2.0 * self.theta.ln())
        };
        let (mut from, mut to) =
            (index(or(inner.number_or("beta_fast", 0.0)?, 32.0)), index(or(inner.number_or("beta_slow", 0.0)?, 1.0)));
        if inner.flag_or("truncate", true)? {
            (from, to) = (from.floor(), to.ceil());
        }
        (from, to) = (from.max(0.0), to.min(self.size as f64 - 1.0));
        if from == to {
            to += 0.001;
        }
        let scale = |times: f64| if factor <= 1.0 { 1.0 } else { 0.1 * times * factor.ln() + 1.0 };
        let (mscale, all) = (inner.number_or("mscale", 0.0)?, inner.number_or("mscale_all_dim", 0.0)?);
        let derived = if mscale != 0.0 && all != 0.0 { scale(mscale) / scale(all) } else { scale(1.0) };
        self.factor = inner.number_or("attention_factor", derived)?;
        self.scaling = Scaling::Yarn { factor, from, to };
        Ok(())
    }

    /// `_compute_longrope_parameters`, for texts of at most the original length.
    fn longrope(&mut self, inner: &Fields, original: f64, positions: i64) -> Result<()> {
        let list = inner.get("short_factor").and_then(Value::as_array).ok_or_else(|| {
            UserError::new("`short_factor` of the rope parameters is missing or not a list").hint(SAVED)
        })?;
        let short: Vec<f64> = list.iter().filter_map(Value::as_f64).collect();
        if short.len() != list.len() || short.len() as i64 != self.size / 2 {
            return Err(UserError::new(format!("`short_factor` is not a list of {} numbers", self.size / 2))
                .hint(SAVED)
                .into());
        }
        let _ = inner.get("long_factor");
        let factor = inner.number_or("factor", positions as f64 / original)?;
        let derived = if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / original.ln()).sqrt() };
        self.factor = inner.number_or("attention_factor", derived)?;
        self.scaling = Scaling::Short { factors: short, original };
        Ok(())
    }

    /// Angular frequency of each of the pairs, in radians per position.
    pub fn frequencies(&self) -> Vec<f64> {
        (0..self.size / 2)
            .map(|i| {
                let f = self.theta.powf(-2.0 * i as f64 / self.size as f64);
                match &self.scaling {
                    Scaling::None => f,
                    Scaling::Linear(factor) => f / factor,
                    Scaling::Llama3 { factor, low, high, original } => llama3(f, *factor, *low, *high, *original),
                    Scaling::Yarn { factor, from, to } => {
                        let slowed = ((i as f64 - from) / (to - from)).clamp(0.0, 1.0);
                        f / factor * slowed + f * (1.0 - slowed)
                    }
                    Scaling::Short { factors, .. } => f / factors.get(i as usize).copied().unwrap_or(1.0),
                }
            })
            .collect()
    }
}

/// `_compute_llama3_parameters`: long wavelengths are slowed by `factor`, short ones kept, those between blended.
fn llama3(f: f64, factor: f64, low: f64, high: f64, original: f64) -> f64 {
    let wavelength = 2.0 * std::f64::consts::PI / f;
    if wavelength > original / low {
        f / factor
    } else if wavelength < original / high {
        f
    } else {
        let smooth = (original / wavelength - low) / (high - low);
        (1.0 - smooth) * f / factor + smooth * f
    }
}

fn rotary_size(inner: &Fields, outer: &Fields, allowed: &Allowed, head_size: i64) -> Result<i64> {
    let part = inner.number_or("partial_rotary_factor", outer.number_or("partial_rotary_factor", 1.0)?)?;
    if part != 1.0 && !allowed.partial {
        return Err(UserError::new(format!("`partial_rotary_factor` = {part} is not supported"))
            .hint("of this architecture, models whose heads turn as a whole can be loaded")
            .into());
    }
    let size = (head_size as f64 * part) as i64;
    if size % 2 != 0 || !(2..=head_size).contains(&size) {
        let message = format!("head_dim = {head_size} gives {size} rotary numbers; rotary positions need pairs");
        return Err(UserError::new(message).hint(SAVED).into());
    }
    Ok(size)
}

/// Positions of the first training: from the first place that knows them, else all.
fn original(first: &Fields, second: &Fields, default: f64) -> Result<f64> {
    let key = "original_max_position_embeddings";
    first.number_or(key, second.number_or(key, default)?)
}

/// transformers takes 0 for "not given" here.
fn or(value: f64, default: f64) -> f64 {
    if value == 0.0 { default } else { value }
}
