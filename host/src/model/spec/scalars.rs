//! Scalars of the forward pass: multipliers and soft caps.

use anyhow::Result;

use super::family::{Family, Scalars};
use super::fields::{Fields, SAVED};
use crate::error::UserError;

/// Scalars that are multiplied in.
#[derive(Debug, Clone, PartialEq)]
pub struct Multipliers {
    /// Of the embedding.
    pub embedding: f64,
    /// Whether that one is first rounded to the weights' number format, as Gemma does.
    pub rounded: bool,
    /// Of each block's two contributions to the residual stream.
    pub residual: f64,
    /// The logits are divided by this.
    pub logits: f64,
}

/// Soft caps; none where there is none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Caps {
    /// Of the attention scores.
    pub attention: Option<f64>,
    /// Of the logits.
    pub logits: Option<f64>,
}

impl Multipliers {
    /// None of them changes anything.
    pub const ONE: Self = Self { embedding: 1.0, rounded: false, residual: 1.0, logits: 1.0 };
}

/// Reads both.
pub fn read(fields: &Fields, family: &Family, hidden: i64) -> Result<(Multipliers, Caps)> {
    let mut multipliers = Multipliers::ONE;
    let mut caps = Caps { attention: None, logits: None };
    match family.scalars {
        Scalars::None | Scalars::Gpt2 => {}
        Scalars::Multipliers => {
            multipliers.embedding = fields.number_or("embedding_multiplier", 1.0)?;
            multipliers.residual = fields.number_or("residual_multiplier", 1.0)?;
            multipliers.logits = fields.number_or("logits_scaling", 1.0)?;
        }
        Scalars::Gemma { caps: capped } => {
            multipliers.embedding = (hidden as f64).sqrt();
            multipliers.rounded = true;
            let default = |cap| if capped { Some(cap) } else { None };
            caps.logits = fields.switched_number("final_logit_softcapping", default(30.0))?;
            // Gemma 3's attention has none, whatever the field says: it is refused by `finish`.
            if capped {
                caps.attention = fields.switched_number("attn_logit_softcapping", default(50.0))?;
            }
            fields.off("use_bidirectional_attention")?;
        }
    }
    if let Some(cap) = [caps.attention, caps.logits].into_iter().flatten().find(|cap| *cap <= 0.0) {
        return Err(UserError::new(format!("a soft cap of {cap} is not positive")).hint(SAVED).into());
    }
    Ok((multipliers, caps))
}
