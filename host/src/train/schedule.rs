//! Learning-rate schedules: the share of the peak rate at a step. Pure; a stage has one of its own.

use crate::config::Schedule;

/// Steps of warm-up, of a stage of `total`.
pub fn warm_steps(share: f64, total: usize) -> usize {
    (share * total as f64).round() as usize
}

/// Share of the peak rate at `step` (from 0) of `total`, the first `warm` of which are warm-up; `last` is where the fall ends.
///
/// After the warm-up as transformers' `get_{constant,linear,cosine}_schedule_with_warmup`. In the warm-up one step ahead of it, (s + 1)/W
/// instead of s/W: its first step has the rate 0 and is spent for nothing.
pub fn share(schedule: Schedule, step: usize, total: usize, warm: usize, last: f64) -> f64 {
    if step < warm {
        return (step as f64 + 1.0) / warm as f64;
    }
    let done = (step as f64 - warm as f64) / (total as f64 - warm as f64).max(1.0);
    match schedule {
        Schedule::Constant => 1.0,
        Schedule::Linear => 1.0 - (1.0 - last) * done,
        Schedule::Cosine => last + (1.0 - last) * 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by transformers' own functions (tests/golden/schedules.py).
    const GOLDEN: &str = include_str!("../../../tests/golden/schedules.json");

    #[test]
    fn every_schedule_equals_transformers_one_step_ahead_in_the_warm_up() {
        let cases: Vec<serde_json::Value> = serde_json::from_str(GOLDEN).expect("JSON");
        let mut compared = 0;
        for case in &cases {
            let number = |key: &str| case[key].as_u64().expect("a whole number") as usize;
            let (total, warm) = (number("total"), number("warm"));
            let schedule: Schedule = serde_json::from_value(case["schedule"].clone()).expect("a schedule");
            let last = case["last"].as_f64().expect("a number");
            let theirs: Vec<f64> = serde_json::from_value(case["shares"].clone()).expect("numbers");
            for step in 0..total {
                let expected = if step < warm { theirs[step + 1] } else { theirs[step] };
                let ours = share(schedule, step, total, warm, last);
                assert!((ours - expected).abs() < 1e-14, "{case} at {step}: {ours} {expected}");
                compared += 1;
            }
        }
        assert!(compared > 200, "{compared}");
    }

    #[test]
    fn a_stage_of_a_few_steps_keeps_to_its_peak_and_never_stands_still() {
        for schedule in [Schedule::Constant, Schedule::Linear, Schedule::Cosine] {
            assert_eq!(share(schedule, 0, 1, warm_steps(0.1, 1), 0.0), 1.0, "a single step is taken at the full rate");
            for total in 1..40 {
                for warm in 0..=total {
                    let shares: Vec<f64> = (0..total).map(|step| share(schedule, step, total, warm, 0.0)).collect();
                    assert!(shares.iter().all(|s| *s > 0.0 && *s <= 1.0), "{schedule:?} {total} {warm}: {shares:?}");
                }
            }
        }
        assert_eq!([0.0, 0.1, 0.5, 1.0].map(|share| warm_steps(share, 20)), [0, 2, 10, 20]);
    }

    #[test]
    fn the_fall_ends_at_its_last_share() {
        for schedule in [Schedule::Linear, Schedule::Cosine] {
            let shares: Vec<f64> = (2..=20).map(|step| share(schedule, step, 20, 2, 0.05)).collect();
            assert_eq!(shares[0], 1.0);
            assert!((shares[18] - 0.05).abs() < 1e-15);
            assert!(shares.windows(2).all(|w| w[0] > w[1]), "{schedule:?} {shares:?}");
        }
    }
}
