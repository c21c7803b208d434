//! Plots as SVG: the canvas that they are drawn on, and what all of them share.

pub mod bars;
pub mod curves;
pub mod overview;
pub mod scale;

use std::fmt::Write;

use super::markup::escaped;
use super::result::Comparison;

/// A picture with a title, which those hear who cannot see it.
pub struct Plot {
    width: f64,
    height: f64,
    title: Title,
    body: String,
}

/// What of which run.
pub struct Title {
    pub run: String,
    pub what: String,
}

/// Which end of a text stands at its place.
#[derive(Debug, Clone, Copy)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

impl Plot {
    fn new(height: f64, title: Title) -> Plot {
        Plot { width: WIDTH, height, title, body: String::new() }
    }

    fn line(&mut self, class: &str, [x1, y1, x2, y2]: [f64; 4]) {
        let _ = writeln!(
            self.body,
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        );
    }

    fn rect(&mut self, class: &str, [x, y, width, height]: [f64; 4], radius: f64) {
        let _ = writeln!(
            self.body,
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="{radius}"/>"#
        );
    }

    fn circle(&mut self, class: &str, x: f64, y: f64, radius: f64) {
        let _ = writeln!(self.body, r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="{radius}"/>"#);
    }

    fn path(&mut self, class: &str, points: &[(f64, f64)], is_closed: bool) {
        let mut d = String::new();
        for (at, (x, y)) in points.iter().enumerate() {
            let _ = write!(d, "{}{x:.1} {y:.1}", if at == 0 { 'M' } else { 'L' });
        }
        let end = if is_closed { "Z" } else { "" };
        let _ = writeln!(self.body, r#"<path class="{class}" d="{d}{end}"/>"#);
    }

    fn text(&mut self, class: &str, x: f64, y: f64, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escaped(text);
        let _ = writeln!(
            self.body,
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#
        );
    }

    fn escaped_title(&self) -> String {
        let Title { run, what } = &self.title;
        escaped(&if run.is_empty() { what.clone() } else { format!("{run}: {what}") })
    }

    /// To stand within a page that has the styles.
    pub fn inline(&self) -> String {
        let Plot { width, height, body, .. } = self;
        let title = self.escaped_title();
        format!(
            "<svg class=\"plot\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>\n{body}</svg>\n"
        )
    }

    /// A file of its own, with its title on top.
    pub fn file(&self) -> String {
        let Plot { width, height, body, .. } = self;
        let title = self.escaped_title();
        let Title { run, what } = &self.title;
        let (head, below) = if run.is_empty() { (what, "") } else { (run, what.as_str()) };
        let (head, below) = (escaped(&shortened(head, HEAD_CHARS)), escaped(below));
        let (outer_width, outer_height) = (width + 2.0 * FILE_MARGIN, height + FILE_HEAD + FILE_MARGIN);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" viewBox=\"0 0 {outer_width} {outer_height}\" \
             width=\"{outer_width}\" height=\"{outer_height}\" role=\"img\" aria-label=\"{title}\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n\
             <rect class=\"surface\" x=\"0\" y=\"0\" width=\"{outer_width}\" height=\"{outer_height}\" rx=\"8\"/>\n\
             <text class=\"head\" x=\"{FILE_MARGIN}\" y=\"28\">{head}</text>\n\
             <text class=\"small\" x=\"{FILE_MARGIN}\" y=\"46\">{below}</text>\n\
             <g transform=\"translate({FILE_MARGIN} {FILE_HEAD})\">\n{body}</g>\n</svg>\n"
        )
    }
}

/// The class that gives each broker its colour: relays are grey, the others have hues that the eye tells apart.
pub fn classes(comparison: &Comparison) -> Vec<String> {
    let (mut nulls, mut brokers) = (0, 0);
    let class = |is_null: bool| {
        let (letter, count, hues) = if is_null { ('n', &mut nulls, 2) } else { ('b', &mut brokers, 7) };
        *count += 1;
        format!("{letter}{}", (*count - 1) % hues)
    };
    comparison.brokers.iter().map(|broker| broker.is_null).map(class).collect()
}

/// A name that has no more room than so many characters.
fn shortened(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max - 1).chain(['…']).collect()
}

/// Small enough that a telephone does not shrink the letters much.
const WIDTH: f64 = 400.0;
const FILE_MARGIN: f64 = 16.0;
const FILE_HEAD: f64 = 58.0;
const HEAD_CHARS: usize = 42;
/// Colours and letters of plots, in a page as in a file.
pub const STYLE: &str = include_str!("plot/plot.css");
