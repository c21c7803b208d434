//! How long things took: how often it was how long, in buckets whose bounds double. Plain integers of one owner, as the
//! counters are; the clock is read elsewhere.

use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    /// How often it was within the bound of the bucket, and beyond that of the one before; the last has no bound.
    counts: [u64; BUCKETS],
    sum_ns: u128,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: [0; BUCKETS], sum_ns: 0 }
    }
}

impl Histogram {
    /// `times` things took so long.
    #[inline]
    pub fn record(&mut self, took: Duration, times: u64) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket_of(nanos)] += times;
        self.sum_ns += u128::from(nanos) * u128::from(times);
    }

    /// The bound of each bucket but the last, and how many are within it, those of all buckets before included.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> {
        let mut within = 0;
        self.counts[..BUCKETS - 1].iter().enumerate().map(move |(bucket, count)| {
            within += count;
            (Duration::from_nanos(1 << (FIRST_BITS + bucket as u32)), within)
        })
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub fn sum(&self) -> Duration {
        const NANOS: u128 = 1_000_000_000;
        let secs = u64::try_from(self.sum_ns / NANOS).unwrap_or(u64::MAX);
        Duration::new(secs, (self.sum_ns % NANOS) as u32)
    }
}

/// The least bucket whose bound is not less.
fn bucket_of(nanos: u64) -> usize {
    let bits = u64::BITS - nanos.saturating_sub(1).leading_zeros();
    (bits.saturating_sub(FIRST_BITS) as usize).min(BUCKETS - 1)
}

/// The bound of the first bucket is this power of two: a microsecond.
const FIRST_BITS: u32 = 10;

/// From a microsecond to eight and a half seconds, and one for what takes longer.
const BUCKETS: usize = 25;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_within_the_bound_of_its_bucket_and_beyond_the_one_before() {
        for nanos in [0, 1, 1023, 1024, 1025, 2048, 2049, 999_999, 1 << 33, (1 << 33) + 1, u64::MAX] {
            let mut histogram = Histogram::default();
            histogram.record(Duration::from_nanos(nanos), 3);
            for (bound, within) in histogram.cumulative() {
                let expected = if Duration::from_nanos(nanos) <= bound { 3 } else { 0 };
                assert_eq!(within, expected, "{nanos} ns and a bound of {bound:?}");
            }
            assert_eq!(histogram.count(), 3, "{nanos}");
        }
    }

    #[test]
    fn bounds_double_from_a_microsecond_to_eight_seconds() {
        let bounds: Vec<Duration> = Histogram::default().cumulative().map(|(bound, _)| bound).collect();
        assert!(bounds.windows(2).all(|pair| pair[1] == pair[0] * 2));
        assert_eq!(bounds[0], Duration::from_nanos(1 << 10));
        assert_eq!(bounds[bounds.len() - 1], Duration::from_nanos(1 << 33));
    }

    #[test]
    fn the_sum_weighs_each_time_by_how_often_it_was_so() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::from_micros(7), 3);
        histogram.record(Duration::from_secs(u64::from(u32::MAX)), 1000);
        assert_eq!(histogram.count(), 1003);
        let seconds = Duration::from_secs(u64::from(u32::MAX) * 1000);
        assert_eq!(histogram.sum(), seconds + Duration::from_micros(21));
    }
}
