//! In what the blocks of a model differ: how far they look back, and by which rotary frequencies they turn.

use anyhow::Result;
use serde_json::Value;

use super::family::{Family, Place, Scalars, Windows};
use super::fields::{Fields, SAVED};
use super::rope::{Allowed, Rope};
use crate::error::UserError;

/// One block's own.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockSpec {
    /// How many positions it sees, its own included; none: all.
    pub window: Option<i64>,
    /// Which of the model's rotary frequencies turn its queries and keys; none: they do not turn.
    pub rope: Option<usize>,
    /// Of the attention scores, before the softmax.
    pub scale: f64,
}

/// The sets of rotary frequencies: of full layers first, of windowed layers second where those have their own.
pub fn ropes(fields: &Fields, family: &Family, head_size: i64, positions: i64) -> Result<Vec<Rope>> {
    let plain = |theta| Allowed { theta, partial: false, renamed: false, original: None };
    let none = Value::Null;
    // transformers lets the older field win where both are there.
    let (older, newer) = (fields.get("rope_scaling"), fields.get("rope_parameters"));
    let read =
        |scaling: &Value, key: &str, allowed: &Allowed| Rope::read(scaling, fields, key, allowed, head_size, positions);
    let scaling = older.or(newer).unwrap_or(&none);
    Ok(match family.place {
        Place::Learned => Vec::new(),
        Place::Rotary { theta } | Place::SkippedRotary { theta } => vec![read(scaling, "rope_theta", &plain(theta))?],
        Place::PartialRotary { theta, original } => {
            let allowed = Allowed { theta, partial: true, renamed: true, original: Some(original) };
            vec![read(scaling, "rope_theta", &allowed)?]
        }
        Place::TwoRotary { full, window } => {
            let nested = Fields::new(newer.unwrap_or(&none));
            let (of_full, of_window) = (nested.get("full_attention"), nested.get("sliding_attention"));
            nested.finish(|_| false)?;
            vec![
                read(older.or(of_full).unwrap_or(&none), "rope_theta", &plain(full))?,
                read(of_window.unwrap_or(&none), "rope_local_base_freq", &plain(window))?,
            ]
        }
    })
}

/// Every block's description.
pub fn read(fields: &Fields, family: &Family, layers: usize, head_size: i64) -> Result<Vec<BlockSpec>> {
    let turns = turns(fields, family, layers)?;
    let windows = windows(fields, family, &turns)?;
    let (scale, by_layer) = scale(fields, family, head_size)?;
    let blocks = windows.into_iter().zip(turns).enumerate().map(|(i, (window, turns))| {
        let own = usize::from(window.is_some() && matches!(family.place, Place::TwoRotary { .. }));
        let scale = if by_layer { scale / (i as f64 + 1.0) } else { scale };
        BlockSpec { window, rope: turns.then_some(own), scale }
    });
    Ok(blocks.collect())
}

/// Which layers have rotary positions.
fn turns(fields: &Fields, family: &Family, layers: usize) -> Result<Vec<bool>> {
    match family.place {
        Place::Learned => Ok(vec![false; layers]),
        Place::SkippedRotary { .. } => {
            let every = fields.size_or("no_rope_layer_interval", 4)?;
            let Some(list) = fields.per_layer("no_rope_layers", layers)? else {
                return Ok((1..=layers as i64).map(|n| n % every != 0).collect());
            };
            // 1 for a layer that turns: the name says the opposite.
            list.iter()
                .map(|v| match v.as_i64() {
                    Some(turns @ 0..=1) => Ok(turns == 1),
                    _ => Err(UserError::new(format!("`no_rope_layers`: {v} is neither 0 nor 1")).hint(SAVED).into()),
                })
                .collect()
        }
        _ => Ok(vec![true; layers]),
    }
}

/// How far each layer looks back.
fn windows(fields: &Fields, family: &Family, turns: &[bool]) -> Result<Vec<Option<i64>>> {
    let layers = turns.len();
    let by_rule = |window: i64, rule: &dyn Fn(usize) -> bool| -> Result<Vec<Option<i64>>> {
        let listed = listed(fields, layers)?;
        let windowed = |i: usize| listed.as_ref().map_or_else(|| rule(i), |list| list[i]);
        Ok((0..layers).map(|i| windowed(i).then_some(window)).collect())
    };
    match family.windows {
        Windows::Full => Ok(vec![None; layers]),
        Windows::All(default) => Ok(vec![fields.switched_size("sliding_window", default)?; layers]),
        Windows::Late | Windows::Skipped => {
            let from = fields.get("max_window_layers").and_then(Value::as_u64).unwrap_or(28);
            let window = match fields.flag_or("use_sliding_window", false)? {
                true => {
                    fields.switched_size("sliding_window", Some(4096).filter(|_| family.windows == Windows::Late))?
                }
                false => fields.raw("sliding_window").and(None),
            };
            match window {
                Some(window) if family.windows == Windows::Late => by_rule(window, &|i| i as u64 >= from),
                Some(window) => by_rule(window, &|i| !turns[i]),
                None if listed(fields, layers)?.is_some_and(|list| list.contains(&true)) => {
                    let message = "`layer_types` has sliding_attention, but no sliding window is switched on";
                    Err(UserError::new(message).hint(SAVED).into())
                }
                None => Ok(vec![None; layers]),
            }
        }
        Windows::Alternating { key, every } => {
            // Gemma 2's folders carry the window under two names.
            let _ = fields.get("sliding_window_size");
            let every = if key.is_empty() { every as i64 } else { fields.size_or(key, every as i64)? };
            match fields.switched_size("sliding_window", Some(4096))? {
                Some(window) => by_rule(window, &|i| (i as i64 + 1) % every != 0),
                None => Err(UserError::new("`sliding_window` is null, but layers alternate by it").hint(SAVED).into()),
            }
        }
    }
}

/// Which layers `layer_types` calls windowed.
fn listed(fields: &Fields, layers: usize) -> Result<Option<Vec<bool>>> {
    let Some(list) = fields.per_layer("layer_types", layers)? else { return Ok(None) };
    let windowed = list.iter().map(|v| match v.as_str() {
        Some("sliding_attention") => Ok(true),
        Some("full_attention") => Ok(false),
        _ => Err(UserError::new(format!("`layer_types`: {v} is not supported"))
            .hint("supported: full_attention, sliding_attention")
            .into()),
    });
    windowed.collect::<Result<_>>().map(Some)
}

/// Of the attention scores, and whether layers divide it by their number.
fn scale(fields: &Fields, family: &Family, head_size: i64) -> Result<(f64, bool)> {
    let plain = (head_size as f64).powf(-0.5);
    Ok(match family.scalars {
        Scalars::None => (plain, false),
        Scalars::Multipliers => (fields.number_or("attention_multiplier", 1.0)?, false),
        Scalars::Gemma { .. } => {
            let scalar = fields.number_or("query_pre_attn_scalar", 256.0)?;
            if scalar <= 0.0 {
                return Err(UserError::new(format!("`query_pre_attn_scalar` = {scalar} is not positive"))
                    .hint(SAVED)
                    .into());
            }
            (scalar.powf(-0.5), false)
        }
        Scalars::Gpt2 => {
            fields.off("add_cross_attention")?;
            let scaled = fields.flag_or("scale_attn_weights", true)?;
            (if scaled { plain } else { 1.0 }, fields.flag_or("scale_attn_by_inverse_layer_idx", false)?)
        }
    })
}
