//! Charts as SVG, readable on light and on dark pages.

use std::fmt::Write as _;

use crate::report::targets;
use crate::report::view::{Cell, View, digits, figure};
use crate::sample::CPU;
use crate::server::{ADIEU, FLOOR};

const WIDTH: f64 = 860.0;
/// Where the labels end and the scale begins.
const LEFT: f64 = 350.0;
const RIGHT: f64 = 30.0;
const ROW: f64 = 30.0;
const TOP: f64 = 74.0;
const BOTTOM: f64 = 44.0;

/// Colours that the colour-blind can tell apart; each server has a shape of its own, too.
const STYLES: &[(&str, &str, Shape)] = &[
    (ADIEU, "#d55e00", Shape::Circle),
    ("fastwebsockets", "#3b8fd0", Shape::Square),
    ("tokio-tungstenite", "#009e73", Shape::Triangle),
    ("axum", "#cc79a7", Shape::Diamond),
    ("Bun", "#e0a000", Shape::Cross),
    ("npm ws", "#8c8c8c", Shape::Plus),
];

#[derive(Clone, Copy)]
enum Shape {
    Circle,
    Square,
    Triangle,
    Diamond,
    Cross,
    Plus,
}

/// A page follows its reader; a picture in it has to follow by itself.
const STYLE: &str = "<style>\
text{font:13px system-ui,sans-serif;fill:#1f2328}.small{font-size:11px;fill:#59636e}\
.title{font-size:15px;font-weight:600}.page{fill:#fff}.grid{stroke:#d1d9e0}.one{stroke:#1f2328}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9198a1}.page{fill:#0d1117}\
.grid{stroke:#3d444d}.one{stroke:#e6edf3}}</style>";

/// One row: a label and a value for each server.
struct Row {
    label: String,
    values: Vec<(usize, f64)>,
}

/// All charts with the names of their files.
pub(super) fn all(view: View<'_>) -> Vec<(&'static str, String)> {
    let echo = view.cells(&["echo"]).map(|cell| row(cell, cell.title().to_owned(), CPU, true));
    let mut many: Vec<Row> =
        view.cells(&["cycle"]).map(|cell| row(cell, cell.title().to_owned(), CPU, true)).collect();
    let mut add = |id: &str, key: &str| {
        if let Some(cell) = view.cell(id) {
            let label = format!("{}: {}", cell.title(), targets::name(key));
            many.push(row(cell, label, key, true));
        }
    };
    add("storm", "last_close_ms");
    add("storm", "last_fin_ms");
    add("storm", CPU);
    add("fan-out", CPU);
    let memory: Option<Vec<Row>> = view.cell("idle").map(|cell| {
        let keys = ["connected_bytes", "messaged_bytes"];
        keys.map(|key| row(cell, targets::name(key).to_owned(), key, false)).into()
    });
    let times = |value: f64| format!("{value}×");
    let bytes = |value: f64| figure("memory_bytes", value);
    vec![
        (
            "performance-echo.svg",
            dots(
                "CPU time per message, as a multiple of the floor's",
                &echo.collect::<Vec<_>>(),
                times,
            ),
        ),
        (
            "performance-many.svg",
            dots("Many connections, as a multiple of the floor's", &many, times),
        ),
        (
            "performance-memory.svg",
            dots("Memory of an idle connection, of 10,000", &memory.unwrap_or_default(), bytes),
        ),
    ]
}

fn row(cell: Cell<'_>, label: String, key: &str, over_floor: bool) -> Row {
    let value = |name: &str| match over_floor {
        true => cell.ratio(name, FLOOR, key),
        false => cell.median(name, key),
    };
    let all = STYLES.iter().enumerate();
    let values = all.filter_map(|(i, (name, ..))| Some((i, value(name).filter(|v| *v > 0.0)?)));
    Row { label, values: values.collect() }
}

/// A logarithmic scale.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn of(rows: &[Row]) -> Self {
        let all = || rows.iter().flat_map(|row| row.values.iter().map(|(_, value)| *value));
        let low = all().fold(f64::INFINITY, f64::min) / 1.1;
        let high = all().fold(0.0, f64::max) * 1.1;
        if low < high { Scale { low, high } } else { Scale { low: 1.0, high: 2.0 } }
    }

    fn x(&self, value: f64) -> f64 {
        let share = (value / self.low).ln() / (self.high / self.low).ln();
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    /// 1, 2 and 5 of each power of ten.
    fn ticks(&self) -> Vec<f64> {
        let powers = (-3..9).flat_map(|power| [1.0, 2.0, 5.0].map(|n| n * 10_f64.powi(power)));
        powers.filter(|tick| (self.low..=self.high).contains(tick)).collect()
    }
}

fn dots(title: &str, rows: &[Row], unit: impl Fn(f64) -> String) -> String {
    let scale = Scale::of(rows);
    let height = TOP + ROW * rows.len() as f64 + BOTTOM;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         role=\"img\" aria-label=\"{title}\">{STYLE}\n\
         <rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\"/>\n\
         <text class=\"title\" x=\"16\" y=\"26\">{title}</text>\n"
    );
    legend(&mut svg);
    let bottom = height - BOTTOM;
    for tick in scale.ticks() {
        let (x, top) = (scale.x(tick), TOP - 14.0);
        let class = if (tick - 1.0).abs() < 1e-9 { "one" } else { "grid" };
        let _ = writeln!(
            svg,
            "<line class=\"{class}\" x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>\
             <text class=\"small\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{}\">{}</text>",
            bottom + 16.0,
            unit(tick)
        );
    }
    for (i, row) in rows.iter().enumerate() {
        let y = TOP + ROW * (i as f64 + 0.3);
        let (end, down) = (LEFT - 14.0, y + 4.0);
        let _ = writeln!(
            svg,
            "<text text-anchor=\"end\" x=\"{end}\" y=\"{down:.1}\">{}</text>",
            row.label
        );
        // Adieu comes last, on top of the others.
        for (style, value) in row.values.iter().rev() {
            let (name, colour, shape) = STYLES[*style];
            let size = if name == ADIEU { 7.0 } else { 5.0 };
            let hint = format!("{name}: {}", digits(*value));
            mark(&mut svg, shape, colour, (scale.x(*value), y, size), &hint);
        }
    }
    let caption = "logarithmic; further left is better";
    let (x, y) = (WIDTH - RIGHT, height - 8.0);
    let _ = writeln!(
        svg,
        "<text class=\"small\" text-anchor=\"end\" x=\"{x}\" y=\"{y}\">{caption}</text>\n</svg>"
    );
    svg
}

fn legend(svg: &mut String) {
    let mut x = 24.0;
    for (name, colour, shape) in STYLES {
        mark(svg, *shape, colour, (x, 45.0, 5.0), name);
        let _ = writeln!(svg, "<text x=\"{}\" y=\"49\">{name}</text>", x + 11.0);
        x += 38.0 + 7.2 * name.len() as f64;
    }
}

fn mark(svg: &mut String, shape: Shape, colour: &str, (x, y, r): (f64, f64, f64), hint: &str) {
    let (l, t, e, b) = (x - r, y - r, x + r, y + r);
    let path = match shape {
        Shape::Circle => {
            format!("M{l:.1} {y:.1}a{r} {r} 0 1 0 {0} 0a{r} {r} 0 1 0 -{0} 0z", 2.0 * r)
        }
        Shape::Square => format!("M{l:.1} {t:.1}H{e:.1}V{b:.1}H{l:.1}z"),
        Shape::Triangle => format!("M{x:.1} {t:.1}L{e:.1} {b:.1}H{l:.1}z"),
        Shape::Diamond => format!("M{x:.1} {t:.1}L{e:.1} {y:.1}L{x:.1} {b:.1}L{l:.1} {y:.1}z"),
        Shape::Cross => format!("M{l:.1} {t:.1}L{e:.1} {b:.1}M{l:.1} {b:.1}L{e:.1} {t:.1}"),
        Shape::Plus => format!("M{l:.1} {y:.1}H{e:.1}M{x:.1} {t:.1}V{b:.1}"),
    };
    let paint = match shape {
        Shape::Cross | Shape::Plus => {
            format!("fill=\"none\" stroke=\"{colour}\" stroke-width=\"3\"")
        }
        _ => format!("fill=\"{colour}\""),
    };
    let _ = writeln!(svg, "<path d=\"{path}\" {paint}><title>{hint}</title></path>");
}
