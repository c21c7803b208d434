//! How `iothub top` looks, at any size of the terminal.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Paragraph, Row, Sparkline, Table, Wrap},
};
use shard::Side;

use super::board::Board;
use crate::text;

/// What is to be seen.
pub struct View<'a> {
    pub board: &'a Board,
    pub trouble: Option<&'a str>,
    pub is_still: bool,
    pub is_typing: bool,
    pub top_row: usize,
}

pub fn draw(frame: &mut Frame<'_>, view: &View<'_>) {
    let area = frame.area();
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        frame.render_widget(
            Paragraph::new(format!("{WIDTH_MIN} columns and {HEIGHT_MIN} lines are needed. q ends it."))
                .wrap(Wrap { trim: true }),
            area,
        );
        return;
    }
    let shards = view.board.now().shards.len().min(SHARDS_SHOWN_MAX) as u16;
    let drops = view.board.drops().len().min(DROPS_SHOWN_MAX) as u16;
    // What does not fit gives way from the least important one on: the curve, the drops, the shards.
    let room = area.height.saturating_sub(FIXED_LINES);
    let shards = if room > shards { shards + 1 } else { 0 };
    let drops = if drops > 0 && room > shards + drops { drops + 1 } else { 0 };
    let curve = if room >= shards + drops + CURVE_LINES { CURVE_LINES } else { 0 };
    let [head, numbers, curve, shards, drops, clients, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(2),
        Constraint::Length(curve),
        Constraint::Length(shards),
        Constraint::Length(drops),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(head_line(view), head);
    frame.render_widget(numbers_of(view.board), numbers);
    draw_curve(frame, view.board, curve);
    frame.render_widget(shard_table(view.board), shards);
    frame.render_widget(drop_table(view.board), drops);
    draw_clients(frame, view, clients);
    frame.render_widget(foot_line(view), foot);
}

fn head_line<'a>(view: &View<'a>) -> Paragraph<'a> {
    let broker = &view.board.now().broker;
    let about = format!(" {} · {} · up {}", broker.version, broker.stage, span(broker.uptime_s));
    let mut parts = vec![
        Span::styled("IoTHub", Style::new().fg(ACCENT).add_modifier(Modifier::BOLD)),
        Span::raw(visible(&about)),
    ];
    if view.is_still {
        parts.push(Span::styled("  standing still", Style::new().fg(Color::Yellow)));
    }
    if let Some(trouble) = view.trouble {
        parts.push(Span::styled(format!("  {}", visible(trouble)), Style::new().fg(Color::Red)));
    }
    Paragraph::new(Line::from(parts))
}

fn numbers_of(board: &Board) -> Paragraph<'_> {
    let per_second = |name: &str| board.rate(name).map_or("–".to_owned(), number);
    let bytes = |name: &str| board.rate(name).map_or("–".to_owned(), |rate| text::size(rate as u64));
    Paragraph::new(vec![
        pairs(&[
            ("connections", board.gauge("connections").to_string()),
            ("sessions", board.gauge("sessions").to_string()),
            ("subscriptions", board.gauge("subscriptions").to_string()),
            ("retained", board.gauge("retained_messages").to_string()),
        ]),
        pairs(&[
            ("in/s", per_second("publish_received")),
            ("out/s", per_second("publish_sent")),
            ("bytes in/s", bytes("bytes_received")),
            ("out/s", bytes("bytes_sent")),
            ("dropped/s", number(board.loss_rate(Side::Out))),
            ("dropped", board.lost(Side::Out).to_string()),
        ]),
    ])
}

fn pairs(pairs: &[(&'static str, String)]) -> Line<'static> {
    let spans = pairs.iter().flat_map(|(name, value)| {
        [
            Span::styled(format!("{name} "), QUIET),
            Span::styled(format!("{value}   "), Style::new().add_modifier(Modifier::BOLD)),
        ]
    });
    Line::from(spans.collect::<Vec<_>>())
}

/// Messages in and out, one column for each answer, the newest at the right.
fn draw_curve(frame: &mut Frame<'_>, board: &Board, area: Rect) {
    let wide = usize::from(area.width);
    let known = board.history.len().min(wide);
    let newest = board.history.iter().skip(board.history.len() - known).copied();
    let data: Vec<u64> = std::iter::repeat_n(0, wide - known).chain(newest).collect();
    frame.render_widget(Sparkline::default().data(data).style(Style::new().fg(ACCENT)), area);
}

fn shard_table(board: &Board) -> Table<'_> {
    let rows = board.now().shards.iter().take(SHARDS_SHOWN_MAX).enumerate().map(|(at, shard)| {
        let gauge = |name: &str| shard.gauges.get(name).copied().unwrap_or(0);
        let rate = |name: &str| board.shard_rate(at, name).map_or("–".to_owned(), number);
        Row::new([
            shard.shard.to_string(),
            gauge("connections").to_string(),
            rate("publish_received"),
            rate("publish_sent"),
            rate("mail_sent"),
            gauge("mail_pending").to_string(),
            text::size(gauge("queued_bytes")),
        ])
    });
    table(
        rows,
        [6, 12, 10, 10, 10, 13, 12],
        ["shard", "connections", "in/s", "out/s", "mail/s", "mail waiting", "queued"],
    )
}

fn drop_table(board: &Board) -> Table<'_> {
    let rows = board.drops().into_iter().take(DROPS_SHOWN_MAX).map(|(name, total, rate)| {
        Row::new([name.to_owned(), total.to_string(), number(rate)]).style(Style::new().fg(Color::Yellow))
    });
    table(rows, [28, 12, 10], ["lost", "total", "per second"])
}

fn draw_clients(frame: &mut Frame<'_>, view: &View<'_>, area: Rect) {
    let rows = view.board.clients();
    let seen = rows.iter().skip(view.top_row).take(usize::from(area.height)).map(|row| {
        let connection = row.client.connection.clone().unwrap_or_default();
        Row::new([
            visible(&row.client.client_id),
            number(row.received),
            number(row.sent),
            row.client.queued.to_string(),
            text::size(row.bytes_received as u64),
            text::size(row.bytes_sent as u64),
            row.client.inflight.to_string(),
            visible(&connection.user.unwrap_or_default()),
            connection.address.unwrap_or_default(),
        ])
    });
    // A narrow terminal has the first columns, which tell most.
    let ends = CLIENT_COLUMNS.iter().scan(0, |end, (_, width)| {
        *end += width + 1;
        Some(*end)
    });
    let fitting = ends.take_while(|end| *end <= area.width + 1).count().max(1);
    let widths = CLIENT_COLUMNS[..fitting].iter().enumerate().map(|(at, (_, width))| match at {
        0 => Constraint::Min(*width),
        _ => Constraint::Length(*width),
    });
    let head = Row::new(CLIENT_COLUMNS.map(|(name, _)| name)).style(HEAD);
    frame.render_widget(Table::new(seen, widths).header(head), area);
}

fn table<'a, const N: usize>(
    rows: impl Iterator<Item = Row<'a>>,
    widths: [u16; N],
    names: [&'static str; N],
) -> Table<'a> {
    Table::new(rows, widths.map(Constraint::Length)).header(Row::new(names).style(HEAD))
}

fn foot_line<'a>(view: &View<'a>) -> Paragraph<'a> {
    let board = view.board;
    if view.is_typing {
        return Paragraph::new(format!("/{}▏  Enter keeps it, Esc forgets it", visible(&board.search)));
    }
    let found = text::count(board.clients().len() as u64, "client");
    let more = if board.now().is_cut { " of more" } else { "" };
    let search = if board.search.is_empty() {
        String::new()
    } else {
        format!(" with “{}”", visible(&board.search))
    };
    let text = format!(
        "{found}{more}{search}, by {}   q ends  s sorts  / looks for  ↑↓ move  space stands still",
        board.order.word()
    );
    Paragraph::new(text).style(QUIET)
}

/// Control characters and what turns text around are somebody else's, and do nothing here.
fn visible(text: &str) -> String {
    let is_seen = |letter: &char| !letter.is_control() && !TURNING.contains(letter);
    text.chars().map(|letter| if is_seen(&letter) { letter } else { '�' }).collect()
}

fn number(rate: f64) -> String {
    if rate > 0.0 && rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}

fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

const TURNING: [char; 9] = [
    '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}',
    '\u{2069}',
];
const ACCENT: Color = Color::Cyan;
const QUIET: Style = Style::new().fg(Color::DarkGray);
const HEAD: Style = QUIET.add_modifier(Modifier::UNDERLINED);
const CLIENT_COLUMNS: [(&str, u16); 9] = [
    ("client", 20),
    ("in/s", 8),
    ("out/s", 8),
    ("queued", 7),
    ("bytes in/s", 10),
    ("bytes out/s", 11),
    ("in flight", 9),
    ("user", 12),
    ("address", 21),
];
const WIDTH_MIN: u16 = 40;
const HEIGHT_MIN: u16 = 8;
/// Head, numbers, three lines of clients and the foot.
const FIXED_LINES: u16 = 7;
const CURVE_LINES: u16 = 3;
const SHARDS_SHOWN_MAX: usize = 8;
const DROPS_SHOWN_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use super::{super::board::tests::sample, *};

    /// The lines of a terminal of this size.
    fn lines(width: u16, height: u16, board: &Board) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        let view = View {
            board,
            trouble: Some("the broker is gone"),
            is_still: false,
            is_typing: false,
            top_row: 0,
        };
        terminal.draw(|frame| draw(frame, &view)).expect("nothing that fails");
        let buffer = terminal.backend().buffer();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(line).collect()
    }

    fn board() -> Board {
        let mut board = Board::new(sample(0, &[("pump\u{1b}[2J\u{202e}", 0), ("fan", 0)]));
        board.add(sample(2, &[("pump\u{1b}[2J\u{202e}", 40), ("fan", 4)]));
        board
    }

    #[test]
    fn everything_is_there_where_there_is_room() {
        let shown = lines(120, 30, &board());
        let has = |text: &str| assert!(shown.iter().any(|line| line.contains(text)), "{text}: {shown:#?}");
        assert_eq!(shown[0], "IoTHub 1.2.3 · serving · up 1 min 42 s  the broker is gone");
        for text in ["connections 2", "in/s 22", "out/s 44", "expired", "2 clients, by traffic", "20 "] {
            has(text);
        }
        let first = shown.iter().position(|line| line.starts_with("client")).expect("a head");
        assert!(shown[first + 1].starts_with("pump�[2J�"), "{shown:#?}");
        assert!(shown[first + 2].starts_with("fan"), "{shown:#?}");
    }

    #[test]
    fn any_size_is_taken() {
        let board = board();
        for (width, height) in [(1, 1), (39, 30), (40, 8), (41, 9), (60, 12), (79, 16), (500, 100)] {
            let shown = lines(width, height, &board);
            let is_usable = width >= WIDTH_MIN && height >= HEIGHT_MIN;
            assert_eq!(
                shown.iter().any(|line| line.starts_with("pump")),
                is_usable,
                "{width}x{height}: {shown:#?}"
            );
        }
    }
}
