//! Averages of rates over the last minutes, as load averages are: each rate counts for less the longer it is ago, by a factor
//! of e after the time that the average is named after.

use std::time::Duration;

/// Of one number that only grows, per minute.
#[derive(Debug, Clone, Copy, Default)]
pub struct Load {
    last: u64,
    averages: [f64; 3],
}

/// What an average looks back on, in minutes.
pub const MINUTES: [u64; 3] = [1, 5, 15];

impl Load {
    /// The number is `total` now, and was what it was before that long ago.
    pub fn update(&mut self, total: u64, elapsed: Duration) {
        let elapsed = elapsed.as_secs_f64();
        let grown = total.saturating_sub(std::mem::replace(&mut self.last, total));
        if elapsed <= 0.0 {
            return;
        }
        let per_minute = grown as f64 * 60.0 / elapsed;
        for (average, minutes) in self.averages.iter_mut().zip(MINUTES) {
            let fading = (-elapsed / (60.0 * minutes as f64)).exp();
            *average = per_minute + fading * (*average - per_minute);
        }
    }

    /// For each of `MINUTES`.
    pub fn averages(&self) -> [f64; 3] {
        self.averages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_secs(10);

    #[test]
    fn a_steady_rate_is_approached_and_then_stays() {
        let mut load = Load::default();
        for step in 1..=6 {
            load.update(step * 100, STEP);
        }
        // After a minute, of 600 a minute: all but 1/e of it.
        let expected = MINUTES.map(|minutes| 600.0 * (1.0 - (-1.0 / minutes as f64).exp()));
        for (average, expected) in load.averages().into_iter().zip(expected) {
            assert!((average - expected).abs() < 0.01, "{average} and {expected}");
        }
        for step in 7..=1000 {
            load.update(step * 100, STEP);
        }
        assert!(load.averages().into_iter().all(|average| (average - 600.0).abs() < 1.0));
    }

    #[test]
    fn the_length_of_the_steps_does_not_matter() {
        let (mut short, mut long) = (Load::default(), Load::default());
        (1..=60).for_each(|step| short.update(step * 5, Duration::from_secs(1)));
        long.update(300, Duration::from_secs(60));
        for (short, long) in short.averages().into_iter().zip(long.averages()) {
            assert!((short - long).abs() < 0.01, "{short} and {long}");
        }
    }

    #[test]
    fn a_number_that_stands_still_fades() {
        let mut load = Load::default();
        load.update(1000, STEP);
        let [before, ..] = load.averages();
        load.update(1000, Duration::from_secs(60));
        let [after, ..] = load.averages();
        assert!((after - before / std::f64::consts::E).abs() < 0.01, "{before} and {after}");
    }
}
