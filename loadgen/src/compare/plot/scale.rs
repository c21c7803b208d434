//! From values to places: linear axes that begin at zero and logarithmic ones, with round ticks.

/// An axis from `start` to `end` in the picture.
#[derive(Debug, Clone)]
pub struct Scale {
    is_log: bool,
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

impl Scale {
    /// From zero to a round number that is at least `max`.
    pub fn linear(max: f64, start: f64, end: f64) -> Scale {
        let max = if max > 0.0 { max } else { 1.0 };
        let step = step(max);
        Scale { is_log: false, low: 0.0, high: (max / step - 1e-9).ceil() * step, start, end }
    }

    /// Between round numbers around both.
    pub fn log(min: f64, max: f64, start: f64, end: f64) -> Scale {
        let (min, max) = (min.max(f64::MIN_POSITIVE), max.max(min * 1.01).max(f64::MIN_POSITIVE));
        let low = rounds(min).take_while(|round| *round <= min * 1.0001).last().unwrap_or(min);
        let high = rounds(max).find(|round| *round >= max * 0.9999).unwrap_or(max);
        Scale { is_log: true, low, high, start, end }
    }

    pub fn at(&self, value: f64) -> f64 {
        let part = if self.is_log {
            (value.max(self.low) / self.low).log10() / (self.high / self.low).log10()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.start + part.clamp(0.0, 1.0) * (self.end - self.start)
    }

    /// Few and round, both ends among them where they are linear.
    pub fn ticks(&self) -> Vec<f64> {
        if !self.is_log {
            let step = step(self.high);
            let count = (self.high / step).round() as u32;
            return (0..=count).map(|at| f64::from(at) * step).collect();
        }
        let inside = |tick: &f64| *tick >= self.low * 0.9999 && *tick <= self.high * 1.0001;
        let all: Vec<f64> =
            rounds(self.low).take_while(|tick| *tick <= self.high * 1.0001).filter(inside).collect();
        if all.len() <= LOG_TICKS_MAX {
            return all;
        }
        let decade = |tick: &f64| (tick.log10() - tick.log10().round()).abs() < 1e-6;
        all.into_iter().filter(decade).collect()
    }
}

/// 1, 2, 5, 10, and so on, beginning a decade below.
fn rounds(value: f64) -> impl Iterator<Item = f64> {
    let decade = value.log10().floor() as i32 - 1;
    (decade..).flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(decade)))
}

/// A round number that fits two to five times.
fn step(max: f64) -> f64 {
    let decade = 10f64.powf((max / 5.0).log10().floor());
    let found =
        [1.0, 2.0, 5.0, 10.0].map(|digit| digit * decade).into_iter().find(|step| max / step <= 5.0001);
    found.unwrap_or(decade * 10.0)
}

const LOG_TICKS_MAX: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_axes_begin_at_zero_and_end_at_a_round_number() {
        let scale = Scale::linear(6.16, 0.0, 100.0);
        assert_eq!(scale.ticks(), [0.0, 2.0, 4.0, 6.0, 8.0]);
        assert_eq!((scale.at(0.0), scale.at(4.0), scale.at(99.0)), (0.0, 50.0, 100.0));
        for max in [0.0, 1e-9, 0.3, 1.0, 5.0, 7.3, 999.0, 5e6, 1e12] {
            let scale = Scale::linear(max, 0.0, 1.0);
            let ticks = scale.ticks();
            assert!((2..=6).contains(&(ticks.len() - 1)) || max == 0.0, "{max}: {ticks:?}");
            assert!(scale.high >= max && (max == 0.0 || scale.high <= max * 2.0), "{max}: {ticks:?}");
        }
    }

    #[test]
    fn logarithmic_axes_reach_around_their_values() {
        let scale = Scale::log(28.0, 18_252.0, 0.0, 300.0);
        assert_eq!((scale.low, scale.high), (20.0, 20_000.0));
        assert!((scale.at(200.0) - 100.0).abs() < 1e-9);
        assert_eq!(scale.ticks(), [100.0, 1000.0, 10_000.0]);
        assert_eq!(Scale::log(30.0, 45.0, 0.0, 1.0).ticks(), [20.0, 50.0]);
        assert_eq!(Scale::log(0.13, 31.0, 0.0, 1.0).low, 0.1);
        for (min, max) in [(0.0, 0.0), (5.0, 5.0), (1e-9, 1e9)] {
            let scale = Scale::log(min, max, 0.0, 1.0);
            assert!(scale.at(min).is_finite() && scale.at(max).is_finite());
        }
    }
}
