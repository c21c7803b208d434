//! How `iothub top` looks, at any size of the terminal.

use std::time::Duration;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Cell, Paragraph, Row, Sparkline, Table, Wrap},
};
use shard::Side;

use super::board::{Board, Order};
use crate::text;

/// What is to be seen.
pub struct View<'a> {
    pub board: &'a Board,
    pub trouble: Option<&'a str>,
    /// For how long nothing has come, where something should have.
    pub silence: Option<Duration>,
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
    // What does not fit gives way from the least important one on: the curve, the drops, the shards, the last numbers.
    let room = usize::from(area.height).saturating_sub(FIXED_LINES);
    let mut numbers = lines_of_numbers(view, area.width);
    numbers.truncate(room);
    let room = room - numbers.len();
    let shards = lines_of_table(view.board.now().shards.len(), SHARDS_SHOWN_MIN, room);
    let drops = lines_of_table(view.board.drops().len(), DROPS_SHOWN_MIN, room - shards);
    let curve = lines_of_curve(view.board.clients().len(), room - shards - drops);
    let [head, number_area, curve, shards, drops, clients, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(numbers.len() as u16),
        Constraint::Length(curve as u16),
        Constraint::Length(shards as u16),
        Constraint::Length(drops as u16),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(head_line(view), head);
    frame.render_widget(Paragraph::new(numbers), number_area);
    draw_curve(frame, view.board, curve);
    frame.render_widget(shard_table(view, shards), shards);
    frame.render_widget(drop_table(view, drops), drops);
    draw_clients(frame, view, clients);
    frame.render_widget(foot_line(view, foot.width), foot);
}

/// With its head, where there is something to show: a third of the room, or as much as is shown at least.
fn lines_of_table(rows: usize, shown_min: usize, room: usize) -> usize {
    let shown = rows.min(shown_min.max(room / 3));
    if shown > 0 && room > shown { shown + 1 } else { 0 }
}

/// It takes what clients leave free, and is none where it would be flat.
fn lines_of_curve(clients: usize, room: usize) -> usize {
    if room < CURVE_LINES {
        return 0;
    }
    // Three lines of clients are counted already.
    let free = (room - CURVE_LINES).saturating_sub(clients.saturating_sub(CLIENTS_COUNTED));
    CURVE_LINES + free.min(CURVE_LINES_MAX - CURVE_LINES)
}

/// What is wrong stands first: the numbers below it are of an earlier moment.
fn head_line<'a>(view: &View<'a>) -> Paragraph<'a> {
    let mut parts = vec![Span::styled("IoTHub", Style::new().fg(ACCENT).add_modifier(Modifier::BOLD))];
    let alarm = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
    if let Some(silence) = view.silence {
        parts.push(Span::styled(format!(" NO ANSWER for {}", span(silence.as_secs())), alarm));
    } else {
        let broker = &view.board.now().broker;
        let about = format!(" {} · {} · up {}", broker.version, broker.stage, span(broker.uptime_s));
        parts.push(Span::raw(text::visible(&about)));
    }
    let now = view.board.now();
    if now.is_cut {
        let part = format!("  showing {} of {} clients", now.clients.len(), view.board.gauge("connections"));
        parts.push(Span::styled(part, Style::new().fg(Color::Yellow)));
    }
    if view.is_still {
        parts.push(Span::styled("  standing still", Style::new().fg(Color::Yellow)));
    }
    if let Some(trouble) = view.trouble {
        parts.push(Span::styled(format!("  {}", text::visible(trouble)), Style::new().fg(Color::Red)));
    }
    Paragraph::new(Line::from(parts))
}

/// As many pairs in a line as find room.
fn lines_of_numbers(view: &View<'_>, width: u16) -> Vec<Line<'static>> {
    let board = view.board;
    let rate = |name: &str| rate_of(view, board.rate(name));
    let bytes = |name: &str| match view.silence {
        None => board.rate(name).map_or(UNKNOWN.to_owned(), |rate| text::size(rate as u64)),
        Some(_) => UNKNOWN.to_owned(),
    };
    let all = [
        ("messages in/s", rate("publish_received")),
        ("out/s", rate("publish_sent")),
        ("lost/s", rate_of(view, Some(board.loss_rate(Side::Out)))),
        ("lost", board.lost(Side::Out).to_string()),
        ("bytes in/s", bytes("bytes_received")),
        ("out/s", bytes("bytes_sent")),
        ("connections", board.gauge("connections").to_string()),
        ("sessions", board.gauge("sessions").to_string()),
        ("subscriptions", board.gauge("subscriptions").to_string()),
        ("retained", board.gauge("retained_messages").to_string()),
        ("not taken in/s", rate_of(view, Some(board.loss_rate(Side::In)))),
        ("not taken in", board.lost(Side::In).to_string()),
        ("queued", text::size(board.gauge("queued_bytes") + board.gauge("queued_away_bytes"))),
        ("store", store(board)),
    ];
    let mut lines: Vec<Vec<(&'static str, String)>> = Vec::new();
    let mut left = 0;
    for (name, value) in all {
        let letters = name.chars().count() + value.chars().count() + 1;
        if letters > left {
            lines.push(Vec::new());
            left = usize::from(width);
        }
        left = left.saturating_sub(letters + PAIR_GAP);
        lines.last_mut().expect("the first finds no room before there is a line").push((name, value));
    }
    lines.iter().map(|line| pairs(line)).collect()
}

/// What it takes of the disk, and whether it finds no more.
fn store(board: &Board) -> String {
    let full = if board.gauge("store_full") > 0 { " (full: only QoS 0 is taken in)" } else { "" };
    format!("{}{full}", text::size(board.gauge("store_file_bytes")))
}

/// In a second; nothing is known of now where nothing comes.
fn rate_of(view: &View<'_>, rate: Option<f64>) -> String {
    rate.filter(|_| view.silence.is_none()).map_or(UNKNOWN.to_owned(), number)
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
    let highest = data.iter().max().copied().unwrap_or(0);
    let [name, curve] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    let name_text = format!("messages in and out in a second, up to {highest}, the newest at the right");
    frame.render_widget(Paragraph::new(name_text).style(QUIET), name);
    frame.render_widget(Sparkline::default().data(data).style(Style::new().fg(ACCENT)), curve);
}

fn shard_table<'a>(view: &View<'a>, area: Rect) -> Table<'a> {
    let board = view.board;
    let (all, shown) = (board.now().shards.len(), usize::from(area.height).saturating_sub(1));
    let rows = board.now().shards.iter().take(shown).enumerate().map(|(at, shard)| {
        let gauge = |name: &str| shard.gauges.get(name).copied().unwrap_or(0);
        let rate = |name: &str| right(rate_of(view, board.shard_rate(at, name)));
        vec![
            Cell::new(shard.shard.to_string()),
            right(gauge("connections").to_string()),
            rate("publish_received"),
            rate("publish_sent"),
            rate("mail_sent"),
            right(gauge("mail_pending").to_string()),
            right(text::size(gauge("queued_bytes") + gauge("queued_away_bytes"))),
            right(text::size(gauge("store_file_bytes"))),
        ]
    });
    let others = [
        ("connections", 11),
        ("in/s", 9),
        ("out/s", 9),
        ("mail/s", 9),
        ("mail waiting", 12),
        ("queued", 11),
        ("store", 11),
    ];
    table(rows, area.width, (part_of("shard", shown, all), 16), others)
}

fn drop_table<'a>(view: &View<'a>, area: Rect) -> Table<'a> {
    let drops = view.board.drops();
    let (all, shown) = (drops.len(), usize::from(area.height).saturating_sub(1));
    let rows = drops.into_iter().take(shown).map(|(name, side, total, rate)| {
        let yellow = Style::new().fg(Color::Yellow);
        [
            Cell::new(name),
            right(side.word().to_owned()),
            right(total.to_string()),
            right(rate_of(view, Some(rate))),
        ]
        .map(|cell| cell.style(yellow))
        .into()
    });
    let others = [("way", 4), ("total", 8), ("in a second", 11)];
    table(rows, area.width, (part_of("lost", shown, all), 26), others)
}

/// The head of a table, which says where something is left out.
fn part_of(name: &str, shown: usize, all: usize) -> String {
    if shown < all { format!("{name}, {shown} of {all}") } else { name.to_owned() }
}

fn draw_clients(frame: &mut Frame<'_>, view: &View<'_>, area: Rect) {
    let rows = view.board.clients();
    // What is sorted by stands in the place of what waits.
    let by_ended = view.board.order == Order::Ended;
    // A narrow terminal has the first columns, which tell most.
    let ends = CLIENT_COLUMNS.iter().scan(CLIENT_ID_WIDTH_MIN, |end, (_, width, _)| {
        *end += width + 1;
        Some(*end)
    });
    let fitting = ends.take_while(|end| *end <= area.width).count();
    let columns = &CLIENT_COLUMNS[..fitting];
    let others: u16 = columns.iter().map(|(_, width, _)| width + 1).sum();
    let id_width = area.width - others;
    let seen = rows.iter().skip(view.top_row).take(usize::from(area.height)).map(|row| {
        let connection = row.client.connection.clone().unwrap_or_default();
        let rate = |rate: f64| right(rate_of(view, Some(rate)));
        let bytes = |rate: f64| match view.silence {
            None => right(text::size(rate as u64)),
            Some(_) => right(UNKNOWN.to_owned()),
        };
        let cells = [
            rate(row.received),
            rate(row.sent),
            right(if by_ended { row.client.ended_lately } else { row.client.queued }.to_string()),
            bytes(row.bytes_received),
            bytes(row.bytes_sent),
            right(row.client.inflight.to_string()),
            Cell::new(text::shortened(
                &text::visible(&connection.user.unwrap_or_default()),
                USER_WIDTH.into(),
            )),
            Cell::new(connection.address.unwrap_or_default()),
        ];
        let id = text::shortened(&text::visible(&row.client.client_id), id_width.into());
        Row::new(std::iter::once(Cell::new(id)).chain(cells.into_iter().take(fitting)))
    });
    let widths = columns.iter().map(|(_, width, _)| Constraint::Length(*width));
    let widths = std::iter::once(Constraint::Length(id_width)).chain(widths);
    let heads = columns.iter().map(|(name, _, is_number)| match is_number {
        true if by_ended && *name == "queued" => right("ended".to_owned()),
        true => right((*name).to_owned()),
        false => Cell::new(*name),
    });
    let head = Row::new(std::iter::once(Cell::new("client")).chain(heads)).style(HEAD);
    frame.render_widget(Table::new(seen, widths).header(head), area);
}

fn right(text: String) -> Cell<'static> {
    Cell::new(Line::from(text).right_aligned())
}

/// The first column stands to the left, and numbers to the right of it: as many as find room.
fn table<'a, const N: usize>(
    rows: impl Iterator<Item = Vec<Cell<'a>>>,
    room: u16,
    first: (String, u16),
    others: [(&'static str, u16); N],
) -> Table<'a> {
    let ends = others.iter().scan(first.1, |end, (_, width)| {
        *end += width + 1;
        Some(*end)
    });
    let fitting = ends.take_while(|end| *end <= room).count();
    let shown = &others[..fitting];
    let heads = shown.iter().map(|(name, _)| right((*name).to_owned()));
    let head = Row::new(std::iter::once(Cell::new(first.0)).chain(heads)).style(HEAD);
    let widths = std::iter::once(first.1).chain(shown.iter().map(|(_, width)| *width));
    let rows = rows.map(|cells| Row::new(cells.into_iter().take(fitting + 1)));
    Table::new(rows, widths.map(Constraint::Length)).header(head)
}

fn foot_line<'a>(view: &View<'a>, width: u16) -> Paragraph<'a> {
    let board = view.board;
    if view.is_typing {
        return Paragraph::new(format!("/{}▏  Enter keeps it, Esc forgets it", text::visible(&board.search)));
    }
    let found = text::count(board.clients().len() as u64, "client");
    let more = if board.now().is_cut { " of more" } else { "" };
    let search = if board.search.is_empty() {
        String::new()
    } else {
        format!(" with “{}”, Esc forgets it", text::visible(&board.search))
    };
    let mut text = format!("{found}{more}{search}, by {} ", board.order.word());
    // Those that find room, the most needed first.
    for key in KEYS {
        if text.chars().count() + key.chars().count() + 2 > usize::from(width) {
            break;
        }
        text = format!("{text}  {key}");
    }
    Paragraph::new(text).style(QUIET)
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

const ACCENT: Color = Color::Cyan;
const QUIET: Style = Style::new().fg(Color::DarkGray);
const HEAD: Style = QUIET.add_modifier(Modifier::UNDERLINED);
const UNKNOWN: &str = "–";
const KEYS: [&str; 5] = ["q ends", "s sorts", "/ looks for", "↑↓ move", "space stands still"];
/// Beside the client id: the name, the width, and whether numbers stand there. Rates are of packets of every kind.
const CLIENT_COLUMNS: [(&str, u16, bool); 8] = [
    ("packets in/s", 12, true),
    ("out/s", 8, true),
    ("queued", 7, true),
    ("bytes in/s", 10, true),
    ("out/s", 10, true),
    ("in flight", 9, true),
    ("user", USER_WIDTH, false),
    ("address", 21, false),
];
const CLIENT_ID_WIDTH_MIN: u16 = 18;
const USER_WIDTH: u16 = 12;
const PAIR_GAP: usize = 3;
const WIDTH_MIN: u16 = 40;
const HEIGHT_MIN: u16 = 8;
/// Head, three lines of clients and the foot.
const FIXED_LINES: usize = 5;
/// With its name.
const CURVE_LINES: usize = 4;
const CURVE_LINES_MAX: usize = 21;
/// Of the fixed lines, those that have clients and not their head.
const CLIENTS_COUNTED: usize = 2;
const SHARDS_SHOWN_MIN: usize = 8;
const DROPS_SHOWN_MIN: usize = 5;

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use super::{
        super::board::{Shard, tests::sample},
        *,
    };

    /// The lines of a terminal of this size.
    fn lines(width: u16, height: u16, board: &Board) -> Vec<String> {
        drawn(width, height, board, None)
    }

    fn drawn(width: u16, height: u16, board: &Board, silence: Option<u64>) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        let view = View {
            board,
            trouble: silence.map(|_| "the broker is gone"),
            silence: silence.map(Duration::from_secs),
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
        assert_eq!(shown[0], "IoTHub 1.2.3 · serving · up 1 min 42 s");
        for text in [
            "connections 2",
            "messages in/s 22",
            "out/s 44",
            "lost 22",
            "not taken in 0",
            "queued 3.0 KiB",
            "store 8.0 MiB",
            "expired",
            "up to 66, the newest at the right",
            "2 clients, by traffic   q ends",
            "space stands still",
        ] {
            has(text);
        }
        let lost = shown.iter().find(|line| line.starts_with("expired")).expect("what was lost");
        assert_eq!(lost.split_whitespace().collect::<Vec<_>>(), ["expired", "out", "22", "11"]);
        let first = shown.iter().position(|line| line.starts_with("client")).expect("a head");
        assert!(shown[first].contains(" packets in/s "), "{shown:#?}");
        assert!(shown[first + 1].starts_with("pump\\u{1b}[2J\\u{202e} "), "{shown:#?}");
        assert!(shown[first + 2].starts_with("fan"), "{shown:#?}");
        let ends = |line: &str, text: &str| line.find(text).map(|at| at + text.len());
        let aligned = (ends(&shown[first], "packets in/s"), ends(&shown[first + 1], " 20"));
        assert!(aligned.0.is_some() && aligned.0 == aligned.1, "{aligned:?} {shown:#?}");
    }

    #[test]
    fn of_a_broker_that_says_nothing_that_stands_first_and_no_rate_is_shown() {
        for width in [40, 80, 120] {
            let shown = drawn(width, 24, &board(), Some(12));
            assert!(shown[0].starts_with("IoTHub NO ANSWER for 12 s  the brok"), "{shown:#?}");
            assert!(shown[1].starts_with("messages in/s –   out/s –   lost/s –"), "{shown:#?}");
            let row = shown.iter().find(|line| line.starts_with("fan")).expect("the last that was known");
            assert!(row.contains('–') && !row.contains("2.0"), "{shown:#?}");
        }
    }

    #[test]
    fn what_is_left_out_is_said() {
        let mut sample = sample(0, &[("pump", 40)]);
        sample.shards = (0..40).map(|shard| Shard { shard, ..sample.shards[0].clone() }).collect();
        let board = Board::new(sample);
        assert!(lines(100, 24, &board).iter().any(|line| line.starts_with("shard, 8 of 40 ")));
        assert!(lines(100, 60, &board).iter().any(|line| line.starts_with("shard, 17 of 40 ")));
        assert!(lines(100, 150, &board).iter().any(|line| line.starts_with("shard  ")));
        assert!(!lines(100, 24, &board)[0].contains("showing"));
        let mut part = board.now().clone();
        part.is_cut = true;
        for shard in &mut part.shards {
            shard.gauges.insert("connections".to_owned(), 60);
        }
        let shown = lines(100, 24, &Board::new(part));
        assert!(shown[0].ends_with("showing 1 of 2400 clients"), "{shown:#?}");
    }

    #[test]
    fn clients_that_begin_alike_are_told_apart_and_every_number_has_room_at_forty_columns() {
        let board = Board::new(sample(0, &[("loadgen-p2p-publisher-0", 1), ("loadgen-p2p-publisher-1", 0)]));
        for width in [40, 80] {
            let shown = lines(width, 12, &board);
            for end in ["er-0 ", "er-1 "] {
                assert!(
                    shown.iter().any(|line| line.starts_with("loadgen") && line.contains(end)),
                    "{shown:#?}"
                );
            }
            for name in ["messages in/s", "lost/s", "bytes in/s", "connections", "retained", "q ends"] {
                assert!(shown.iter().any(|line| line.contains(name)), "{name}: {shown:#?}");
            }
        }
    }

    #[test]
    fn the_curve_grows_where_clients_leave_room_and_no_further() {
        let lines_of = |height: u16, clients: usize| {
            let names: Vec<String> = (0..clients).map(|number| format!("client-{number}")).collect();
            let of: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 0)).collect();
            let shown = lines(200, height, &Board::new(sample(0, &of)));
            let at =
                |start: &str| shown.iter().position(|line| line.starts_with(start)).expect("it is shown");
            let seen = shown.iter().filter(|line| line.starts_with("client-")).count();
            (at("shard") - at("messages in and out in a second"), seen)
        };
        assert_eq!(lines_of(60, 2), (CURVE_LINES_MAX, 2));
        assert_eq!(lines_of(60, 200).0, CURVE_LINES);
        assert_eq!(lines_of(24, 10), (8, 10));
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
