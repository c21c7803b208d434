//! The report as one HTML file that needs no other: an overview, and for each run its plots with a table at each.

use std::fmt::Write;

use super::markup::{escaped, slugs};
use super::number;
use super::plot::{self, Plot, Title, bars, curves, overview};
use super::result::Comparison;
use super::summary::{Block, CPU_KEY, Row};
use crate::report::Better;

/// The whole file.
pub fn page(comparison: &Comparison) -> String {
    let title = escaped(&title(comparison));
    let anchors = slugs(comparison.runs.iter().map(|run| run.name.as_str()));
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{}{}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n",
        plot::STYLE,
        include_str!("page.css")
    );
    push_facts(comparison, &anchors, &mut out);
    out.push_str("</header>\n<main>\n");
    push_overview(comparison, &mut out);
    for (block, anchor) in comparison.summary.iter().zip(&anchors) {
        push_run(comparison, block, anchor, &mut out);
    }
    out.push_str("</main>\n");
    push_reading(comparison, &mut out);
    out.push_str("</body>\n</html>\n");
    out
}

/// Every plot with the name of its file.
pub fn plots(comparison: &Comparison) -> Vec<(String, Plot)> {
    let mut plots = Vec::new();
    plots.extend(overview::plot(comparison, overview_title()).map(|plot| ("overview".to_owned(), plot)));
    let anchors = slugs(comparison.runs.iter().map(|run| run.name.as_str()));
    for (block, anchor) in comparison.summary.iter().zip(&anchors) {
        for row in judged_without_latency(block) {
            let title = Title { run: block.run.clone(), what: row.label.clone() };
            plots.push((format!("{anchor}-{}", row.key), bars::plot(comparison, block, row, title)));
        }
        plots.extend(
            curves::plot(comparison, block, latency_title(block))
                .map(|plot| (format!("{anchor}-latency"), plot)),
        );
    }
    plots
}

fn overview_title() -> Title {
    Title { run: String::new(), what: OVERVIEW.to_owned() }
}

fn latency_title(block: &Block) -> Title {
    Title { run: block.run.clone(), what: "latency".to_owned() }
}

fn title(comparison: &Comparison) -> String {
    let brokers = comparison.brokers.iter().filter(|broker| !broker.is_null);
    let names: Vec<&str> = brokers.map(|broker| broker.name.as_str()).collect();
    match names[..] {
        [] => "The null relays".to_owned(),
        [only] => only.to_owned(),
        [ref first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn push_facts(comparison: &Comparison, anchors: &[String], out: &mut String) {
    let host = &comparison.host;
    let pinned = match (&comparison.broker_cpus, &comparison.load_cpus) {
        (None, None) => String::new(),
        (broker, load) => {
            let on = |cpus: &Option<String>| {
                cpus.as_ref().map_or("anywhere".to_owned(), |cpus| format!("on {cpus}"))
            };
            format!(" · broker {}, load {}", on(broker), on(load))
        }
    };
    let _ = writeln!(
        out,
        "<p class=\"muted\">{} · {} · {} cores · {}{} · {} · loadgen {}</p>",
        escaped(&comparison.begun),
        escaped(&host.cpu),
        host.cores,
        escaped(&host.kernel),
        escaped(&pinned),
        match comparison.repeat {
            1 => "one repetition".to_owned(),
            count => format!("medians of {count}"),
        },
        escaped(&comparison.loadgen_version)
    );
    out.push_str("<nav aria-label=\"Runs\">\n");
    for (run, anchor) in comparison.runs.iter().zip(anchors) {
        let _ = writeln!(out, "<a href=\"#{anchor}\">{}</a>", escaped(&run.name));
    }
    out.push_str("</nav>\n");
}

fn push_overview(comparison: &Comparison, out: &mut String) {
    let Some(plot) = overview::plot(comparison, overview_title()) else { return };
    let _ =
        writeln!(out, "<section class=\"card\"><h3>{OVERVIEW}</h3>\n<div class=\"wide\">\n{}", plot.inline());
    out.push_str(
        "<div class=\"scroll\"><table>\n<caption>Microseconds where no unit stands; the best broker in green</caption>\n",
    );
    out.push_str("<thead><tr><th scope=\"col\">run</th>");
    for at in 0..comparison.brokers.len() {
        let _ = write!(out, "<th scope=\"col\">{}</th>", name(comparison, at));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for block in &comparison.summary {
        let Some(row) = block.key_row() else { continue };
        let shown = |median| {
            if row.key == CPU_KEY { number::digits(median) } else { number::with_unit(median, &row.unit) }
        };
        let _ = write!(out, "<tr><th scope=\"row\">{}</th>", escaped(&block.run));
        let best = best(comparison, row);
        for (at, spread) in row.spreads.iter().enumerate() {
            let text = spread.map_or("–".to_owned(), |spread| shown(spread.median));
            let class = if best == Some(at) { " class=\"best\"" } else { "" };
            let _ = write!(out, "<td{class}>{text}{}</td>", mark(block, at));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n</div></section>\n");
}

/// Among brokers only: a relay is no competitor.
fn best(comparison: &Comparison, row: &Row) -> Option<usize> {
    let brokers = (0..comparison.brokers.len()).filter(|at| !comparison.brokers[*at].is_null);
    let medians = brokers.filter_map(|at| Some((at, row.spreads[at]?.median)));
    let ordered = |a: &(usize, f64), b: &(usize, f64)| a.1.total_cmp(&b.1);
    let (count, found) = match row.better {
        Better::Lower => (medians.clone().count(), medians.min_by(ordered)),
        Better::Higher => (medians.clone().count(), medians.max_by(ordered)),
        Better::Neither => (0, None),
    };
    found.filter(|_| count > 1).map(|(at, _)| at)
}

fn push_run(comparison: &Comparison, block: &Block, anchor: &str, out: &mut String) {
    let command = comparison.runs.iter().find(|run| run.name == block.run).map_or("", |run| &run.command);
    let reference = block
        .reference
        .map_or(String::new(), |at| format!(" · × is times {}", escaped(&comparison.brokers[at].name)));
    let _ = writeln!(
        out,
        "<section id=\"{anchor}\">\n<h2>{}</h2>\n<p class=\"muted\"><code>loadgen {}</code>{reference}</p>",
        escaped(&block.run),
        escaped(command)
    );
    push_faults(comparison, block, out);
    out.push_str("<div class=\"cards\">\n");
    for row in judged_without_latency(block) {
        let title = Title { run: block.run.clone(), what: row.label.clone() };
        let plot = bars::plot(comparison, block, row, title);
        let _ = writeln!(
            out,
            "<div class=\"card\"><h3>{}</h3>\n{}{}</div>",
            escaped(&capital(&row.label)),
            plot.inline(),
            spread_table(comparison, block, row)
        );
    }
    if let Some(plot) = curves::plot(comparison, block, latency_title(block)) {
        let table = latency_table(comparison, block);
        let _ = writeln!(out, "<div class=\"card\"><h3>Latency</h3>\n{}{table}</div>", plot.inline());
    }
    out.push_str("</div>\n</section>\n");
}

fn push_faults(comparison: &Comparison, block: &Block, out: &mut String) {
    for (broker, standing) in comparison.brokers.iter().zip(&block.standings) {
        let told = standing.told();
        if told.is_empty() {
            continue;
        }
        let _ = write!(
            out,
            "<div class=\"fault\"><span class=\"mark\">!</span> <strong>{}</strong>: {}",
            escaped(&broker.name),
            escaped(&told)
        );
        if let Some(failure) = standing.failures.iter().find(|failure| !failure.last_lines.is_empty()) {
            let lines = escaped(&failure.last_lines.join("\n"));
            let _ = write!(out, "<details><summary>its last lines</summary><pre>{lines}</pre></details>");
        }
        out.push_str("</div>\n");
    }
}

fn judged_without_latency(block: &Block) -> impl Iterator<Item = &Row> {
    block.judged().filter(|row| !row.key.starts_with("latency_"))
}

fn spread_table(comparison: &Comparison, block: &Block, row: &Row) -> String {
    // One repetition is its own median, lowest and highest.
    let heads: &[&str] = match comparison.repeat {
        1 => &["found", "×"],
        _ => &["median", "lowest", "highest", "×"],
    };
    let mut out = String::from("<div class=\"scroll\"><table><thead><tr><th scope=\"col\">broker</th>");
    for head in heads {
        let _ = write!(out, "<th scope=\"col\">{head}</th>");
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    let best = best(comparison, row);
    for (at, spread) in row.spreads.iter().enumerate() {
        let _ = write!(out, "<tr><th scope=\"row\">{}{}</th>", name(comparison, at), mark(block, at));
        match spread {
            Some(spread) => {
                let class = if best == Some(at) { " class=\"best\"" } else { "" };
                let [median, min, max] =
                    [spread.median, spread.min, spread.max].map(|value| number::with_unit(value, &row.unit));
                let _ = write!(out, "<td{class}>{median}</td>");
                if comparison.repeat > 1 {
                    let _ = write!(out, "<td>{min}</td><td>{max}</td>");
                }
                let ratio = block.ratio(row, at).map_or("–".to_owned(), number::digits);
                let _ = write!(out, "<td>{ratio}</td>");
            }
            None => out.push_str(&"<td>–</td>".repeat(heads.len())),
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    out
}

fn latency_table(comparison: &Comparison, block: &Block) -> String {
    let rows: Vec<&Row> = block.figures.iter().filter(|row| row.key.starts_with("latency_")).collect();
    let mut out = String::from("<div class=\"scroll\"><table><thead><tr><th scope=\"col\">broker</th>");
    for row in &rows {
        let label = row.label.strip_prefix("latency ").unwrap_or(&row.label);
        let _ = write!(out, "<th scope=\"col\">{}</th>", escaped(label));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for at in 0..comparison.brokers.len() {
        let _ = write!(out, "<tr><th scope=\"row\">{}{}</th>", name(comparison, at), mark(block, at));
        for row in &rows {
            let text = row.spreads[at]
                .map_or("–".to_owned(), |spread| number::with_unit(spread.median, &row.unit));
            let class = if best(comparison, row) == Some(at) { " class=\"best\"" } else { "" };
            let _ = write!(out, "<td{class}>{text}</td>");
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    out
}

/// A broker with its colour.
fn name(comparison: &Comparison, at: usize) -> String {
    let class = &plot::classes(comparison)[at];
    format!("<span class=\"swatch {class}\"></span>{}", escaped(&comparison.brokers[at].name))
}

fn mark(block: &Block, at: usize) -> &'static str {
    if block.standings[at].is_whole() {
        ""
    } else {
        " <span class=\"mark\" title=\"not every repetition counts\">!</span>"
    }
}

fn push_reading(comparison: &Comparison, out: &mut String) {
    out.push_str(
        "<footer>\n<h2>What ran</h2>\n<div class=\"card scroll\"><table class=\"facts\"><thead><tr>\
         <th scope=\"col\">broker</th><th scope=\"col\">version</th><th scope=\"col\">command</th></tr></thead>\n<tbody>\n",
    );
    for (at, broker) in comparison.brokers.iter().enumerate() {
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td><code>{}</code>{}</td></tr>",
            name(comparison, at),
            escaped(broker.version.as_deref().unwrap_or("–")),
            escaped(&broker.command),
            broker.config.as_deref().map_or(String::new(), config)
        );
    }
    out.push_str("</tbody></table></div>\n");
    out.push_str(READING);
    out.push_str("</footer>\n");
}

fn config(text: &str) -> String {
    format!("<details><summary>its configuration</summary><pre>{}</pre></details>", escaped(text))
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

const OVERVIEW: &str = "Broker CPU per delivery or connection";
const READING: &str = "<h2>How to read this</h2>\n\
<p>Every repetition runs each scenario with each broker in turn, freshly started, and begins with another one. Bars are medians, \
whiskers and bands reach from the lowest to the highest repetition, and repetitions in which a message was lost, doubled or out of \
order do not count. The null relays only move bytes: what they cost is what the kernel costs for the same packets. CPU time is \
that of the broker's process, per message delivered or connection made; it survives a busy machine better than rates and \
latencies do. Latency counts from when a message was due (open loop) or sent (closed loop, where it is mostly the time in the \
queue that the load itself makes).</p>\n";

#[cfg(test)]
mod tests {
    use super::super::markup::well_formed;
    use super::super::sample;
    use super::*;

    #[test]
    fn a_page_is_well_formed_and_needs_nothing_else() {
        let page = page(&sample::comparison());
        well_formed::check(&page);
        for outside in ["src=", "url(", "@import", "<script", "<link", "http://", "https://"] {
            assert!(!page.contains(outside), "{outside}");
        }
        for part in [
            "<title>one and dead</title>",
            "A &amp; B",
            "one 1.0 &lt;stable&gt;",
            "limit &lt;= 5",
            "× is times null epoll",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert!(
            page.contains("3 of 3 repetitions do not count") && page.contains("<pre>out of &lt;memory&gt;")
        );
    }

    #[test]
    fn one_repetition_has_no_spread() {
        let mut comparison = sample::comparison();
        assert!(page(&comparison).contains(">lowest</th>"));
        comparison.repeat = 1;
        comparison.turns.retain(|turn| turn.repetition == 0);
        comparison.summarise();
        let page = page(&comparison);
        well_formed::check(&page);
        assert!(page.contains("one repetition") && !page.contains(">lowest</th>"));
    }

    #[test]
    fn names_are_text_wherever_they_stand() {
        let mut comparison = sample::named(["null <i>", "<script>alert(\"1\")</script>", "a & b"]);
        comparison.runs[0].name = "<b>\"run\" & 'more'".to_owned();
        comparison.turns.iter_mut().filter(|turn| turn.run == "p2p").for_each(|turn| {
            turn.run = "<b>\"run\" & 'more'".to_owned();
        });
        comparison.summarise();
        let page = page(&comparison);
        well_formed::check(&page);
        assert!(!page.contains("<script>") && !page.contains("<i>") && !page.contains("<b>"));
        for (name, plot) in plots(&comparison) {
            well_formed::check(&plot.file());
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'), "{name}");
        }
    }

    #[test]
    fn every_judged_figure_has_its_plot() {
        let names: Vec<String> = plots(&sample::comparison()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            [
                "overview",
                "p2p-deliveries_per_s",
                "p2p-broker_cpu_us",
                "p2p-latency",
                "idle-deliveries_per_s",
                "idle-broker_cpu_us",
                "idle-latency"
            ]
        );
    }

    #[test]
    fn the_best_is_a_broker_and_there_is_none_without_another() {
        let mut comparison = sample::comparison();
        let row = comparison.summary[0].row("broker_cpu_us").cloned();
        assert_eq!(best(&comparison, row.as_ref().expect("a row")), None);
        comparison.brokers[0].is_null = false;
        assert_eq!(best(&comparison, row.as_ref().expect("a row")), Some(0));
    }
}
