//! The curve of latencies by percentile, and the middle one of several.

use serde::Serialize;

use super::summary::Spread;
use crate::report::{Quantile, Report};

/// One value for each of `fractions()`, as far as the shortest of the reports reaches.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curve(pub Vec<Point>);

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    pub fraction: f64,
    pub us: Spread,
}

/// `None` where no report has latencies.
pub fn middle(reports: &[&Report]) -> Option<Curve> {
    let curves: Vec<&[Quantile]> = reports.iter().map(|report| &report.latency[..]).collect();
    let curves: Vec<&[Quantile]> = curves.into_iter().filter(|curve| !curve.is_empty()).collect();
    let points = fractions().map_while(|fraction| {
        let values: Option<Vec<f64>> = curves.iter().map(|curve| at(curve, fraction)).collect();
        Some(Point { fraction, us: Spread::of(&values?)? })
    });
    let points: Vec<Point> = points.collect();
    (points.len() > 1).then_some(Curve(points))
}

/// From the first percentiles to 99.999 %, so that steps are even on an axis that halves what is left.
fn fractions() -> impl Iterator<Item = f64> {
    (0..=STEPS_MAX).map(|step| 1.0 - 0.5f64.powf(f64::from(step) / STEPS_PER_HALVING))
}

/// `None` behind the last step before the maximum: there are too few samples to tell.
fn at(curve: &[Quantile], fraction: f64) -> Option<f64> {
    let told = curve.iter().take_while(|quantile| quantile.fraction < 1.0);
    let mut told = told.chain(curve.first().filter(|_| curve.len() == 1));
    told.find(|quantile| quantile.fraction >= fraction).map(|quantile| quantile.us)
}

const STEPS_PER_HALVING: f64 = 4.0;
const STEPS_MAX: u32 = 66;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn with(latency: &[(f64, f64)]) -> Report {
        let mut report = Report::new("p2p", 1.0);
        report.latency = latency.iter().map(|&(fraction, us)| Quantile { fraction, us }).collect();
        report
    }

    #[test]
    fn the_middle_is_taken_point_by_point_as_far_as_all_reach() {
        let (a, b) =
            (with(&[(0.0, 1.0), (0.5, 2.0), (0.9, 8.0), (1.0, 99.0)]), with(&[(0.6, 4.0), (1.0, 9.0)]));
        let Curve(points) = middle(&[&a, &b]).unwrap();
        let first = points.first().unwrap();
        assert_eq!((first.fraction, first.us.median), (0.0, 2.5));
        assert_eq!((first.us.min, first.us.max), (1.0, 4.0));
        assert!(points.last().unwrap().fraction <= 0.6);
        assert!(points.windows(2).all(|pair| pair[0].fraction < pair[1].fraction));
    }

    #[test]
    fn no_latencies_are_no_curve() {
        assert_eq!(middle(&[&with(&[])]), None);
        assert_eq!(middle(&[]), None);
    }
}
