//! The figures as a plot. Grey on no background, so that it can be read on a light and a dark page.

use std::fmt::Write as _;

use super::herd::{Herd, Kind};
use super::herd_table::said;
use super::table::{Figures, grouped, number};

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 250.0;
/// Around the axes of a panel: left, top, right, bottom.
const MARGIN: [f64; 4] = [64.0, 34.0, 24.0, 40.0];
/// More points of a line cannot be told apart.
const MOST_POINTS: usize = 200;
const STYLE: &str = "<style>text{font:12px sans-serif;fill:#6e7781}.title{font-weight:bold}.axis{stroke:#8c959f;fill:none}\
    .line{fill:none;stroke-width:2}.reference{fill:none;stroke:#8c959f;stroke-dasharray:4 4}\
    .c0{stroke:#2f81f7}.c1{stroke:#d9730d}.d0{fill:#2f81f7}.d1{fill:#d9730d}\
    @media(prefers-color-scheme:dark){text{fill:#9198a1}}</style>\n";

/// Two axes from zero or, with logarithms, from the smallest value; and lines.
struct Panel {
    title: String,
    x: String,
    logarithmic: bool,
    lines: Vec<Line>,
    /// Two points of a line to compare with, and what it is.
    reference: Option<([(f64, f64); 2], &'static str)>,
}

type Figure = fn(&Figures) -> f64;

struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// The whole picture.
pub(super) fn plot(all: &[Figures], herds: &[Herd]) -> String {
    let mut panels = sizes(all);
    panels.extend(over_time(herds));
    let rows = f64::from(u32::try_from(panels.len().div_ceil(2)).unwrap_or_default());
    let (width, height) = (2.0 * WIDTH, rows * HEIGHT);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\">\n{STYLE}"
    );
    for (place, panel) in panels.iter().enumerate() {
        let place = u32::try_from(place).unwrap_or_default();
        let (x, y) = (f64::from(place % 2) * WIDTH, f64::from(place / 2) * HEIGHT);
        let _ = write!(text, "<g transform=\"translate({x} {y})\">\n{}</g>\n", panel.draw());
    }
    text + "</svg>\n"
}

/// Figures by the number of objects.
fn sizes(all: &[Figures]) -> Vec<Panel> {
    let figures: [(&str, Figure); 4] = [
        ("AWS calls in a minute, unchanged", |all| number(all.steady.calls())),
        ("Kubernetes reads in a minute, unchanged", |all| number(all.steady.requests.reads)),
        ("CPU seconds in a minute, unchanged", |all| all.steady.usage.processor.as_secs_f64()),
        ("Memory of its own, peak since the start, MiB", |all| number(all.steady.own) / 1024.0),
    ];
    let panel = |(title, figure): (&str, Figure)| {
        let points: Vec<(f64, f64)> = all.iter().map(|all| (f64::from(all.count), figure(all))).collect();
        let first = points.iter().find(|(_, y)| *y > 0.0).copied();
        let last = points.last().map_or(0.0, |(x, _)| *x);
        let reference = first.filter(|(x, _)| *x < last).map(|(x, y)| ([(x, y), (last, y * last / x)], "linear"));
        Panel {
            title: title.to_owned(),
            x: "objects".to_owned(),
            logarithmic: true,
            lines: vec![Line { name: String::new(), points }],
            reference,
        }
    };
    if all.is_empty() { Vec::new() } else { figures.into_iter().map(panel).collect() }
}

/// The rotations of the largest herds, with AWS's quotas and without.
fn over_time(herds: &[Herd]) -> Vec<Panel> {
    let most = herds.iter().map(|herd| herd.count).max();
    let line = |herd: &Herd| {
        let mut times: Vec<f64> = herd.rotated.iter().map(std::time::Duration::as_secs_f64).collect();
        times.sort_by(f64::total_cmp);
        let every = times.len().div_ceil(MOST_POINTS).max(1);
        let last = times.len().saturating_sub(1);
        let points = times.iter().enumerate().filter(|(place, _)| place.is_multiple_of(every) || *place == last);
        let points = points.map(|(place, time)| (*time, number(u64::try_from(place + 1).unwrap_or_default()))).collect();
        Line { name: said(herd.kind).to_owned(), points }
    };
    let panel = |title: &str, kinds: &[Kind], quota: Option<f64>| {
        let lines: Vec<Line> = herds.iter().filter(|herd| Some(herd.count) == most && kinds.contains(&herd.kind)).map(line).collect();
        let all = f64::from(most.unwrap_or_default());
        let reference = quota.map(|quota| ([(0.0, 0.0), (all / quota, all)], "AWS's quota"));
        (!lines.is_empty()).then(|| Panel {
            title: title.to_owned(),
            x: "seconds from the due time".to_owned(),
            logarithmic: false,
            lines,
            reference,
        })
    };
    let with = panel("Rotations, quotas of AWS", &[Kind::Quotas, Kind::Killed], Some(50.0));
    let without = panel("Rotations, no quotas", &[Kind::Unlimited], None);
    with.into_iter().chain(without).collect()
}

impl Panel {
    fn draw(&self) -> String {
        let [left, top, right, bottom] = MARGIN;
        let (width, height) = (WIDTH - left - right, HEIGHT - top - bottom);
        let points = self.lines.iter().flat_map(|line| &line.points).chain(self.reference.iter().flat_map(|(points, _)| points));
        let (xs, ys): (Vec<f64>, Vec<f64>) = points.copied().unzip();
        let (x, y) = (Scale::new(&xs, self.logarithmic), Scale::new(&ys, self.logarithmic));
        let place = |(px, py): (f64, f64)| (left + width * x.share(px), top + height * (1.0 - y.share(py)));
        let path = |points: &[(f64, f64)]| {
            let places: Vec<String> = points.iter().map(|point| place(*point)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            places.join(" ")
        };
        let (end, base) = (left + width, top + height);
        let mut text = format!("<text class=\"title\" x=\"{left}\" y=\"16\">{}</text>\n", escaped(&self.title));
        let _ = writeln!(text, "<path class=\"axis\" d=\"M{left} {top}V{base}H{end}\"/>");
        for value in [x.least, x.most] {
            let _ = writeln!(
                text,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                place((value, y.least)).0,
                base + 16.0,
                figure(value)
            );
        }
        let _ = writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            left + width / 2.0,
            base + 32.0,
            escaped(&self.x)
        );
        for value in [y.least, y.most] {
            let _ = writeln!(
                text,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 6.0,
                place((x.least, value)).1 + 4.0,
                figure(value)
            );
        }
        if let Some((points, name)) = &self.reference {
            let (x, y) = place(points[1]);
            let _ = writeln!(text, "<polyline class=\"reference\" points=\"{}\"/>", path(points));
            let _ = writeln!(text, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>", x - 14.0, y + 4.0, escaped(name));
        }
        for (number, line) in self.lines.iter().enumerate() {
            let _ = writeln!(text, "<polyline class=\"line c{number}\" points=\"{}\"/>", path(&line.points));
            if line.name.is_empty() {
                for (nth, point) in line.points.iter().enumerate() {
                    let (x, y) = place(*point);
                    // Not on the axis, and above a line that rises.
                    let (anchor, away) = if nth == 0 { ("start", 8.0) } else { ("end", -4.0) };
                    let _ = writeln!(text, "<circle class=\"d{number}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>");
                    let _ = writeln!(
                        text,
                        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
                        x + away,
                        y - 8.0,
                        figure(point.1)
                    );
                }
            } else {
                let y = base - 8.0 - 18.0 * f64::from(u32::try_from(number).unwrap_or_default());
                let _ = writeln!(text, "<path class=\"line c{number}\" d=\"M{:.1} {:.1}h18\"/>", end - 190.0, y - 4.0);
                let _ = writeln!(text, "<text x=\"{:.1}\" y=\"{y:.1}\">{}</text>", end - 166.0, escaped(&line.name));
            }
        }
        text
    }
}

/// Where a value is between the ends of an axis.
struct Scale {
    least: f64,
    most: f64,
    logarithmic: bool,
}

impl Scale {
    /// Logarithms need something above zero; what is not, is at the lower end.
    fn new(values: &[f64], logarithmic: bool) -> Self {
        let least = values.iter().copied().filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(0.0, f64::max);
        let logarithmic = logarithmic && least < most;
        Self { least: if logarithmic { least } else { 0.0 }, most: if most > 0.0 { most } else { 1.0 }, logarithmic }
    }

    fn share(&self, value: f64) -> f64 {
        if self.logarithmic { (value.max(self.least) / self.least).ln() / (self.most / self.least).ln() } else { value / self.most }
    }
}

/// 0.06, 1.5, 12, 1,234.
fn figure(value: f64) -> String {
    if value > 0.0 && value < 10.0 && value.fract() > 0.0 {
        return format!("{value:.*}", if value < 1.0 { 2 } else { 1 });
    }
    format!("{value:.0}").parse().map(grouped).unwrap_or_default()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::super::{herd_table, table};
    use super::*;

    #[test]
    fn the_plot_has_a_panel_for_each_figure_and_labels_that_can_be_read() {
        let all = [table::tests::figures(250), table::tests::figures(10_000)];
        let herds = [Kind::Quotas, Kind::Killed, Kind::Unlimited].map(herd_table::tests::herd);
        let svg = plot(&all, &herds);
        assert_eq!(svg.matches("class=\"title\"").count(), 6, "{svg}");
        for part in [
            ">AWS calls in a minute, unchanged<",
            ">10,000<",
            ">linear<",
            ">Rotations, quotas of AWS<",
            ">as published, SIGKILL after half<",
            ">AWS's quota<",
            "points=\"64.0,210.0 416.0,34.0\"",
        ] {
            assert!(svg.contains(part), "{part}\n{svg}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert!(!plot(&all[..1], &[]).contains("NaN"));
        assert!(!plot(&[], &herds[2..]).contains("NaN"));
    }

    #[test]
    fn figures_are_short() {
        assert_eq!([0.0, 0.061, 1.46, 2.0, 12.4, 10_000.0].map(figure), ["0", "0.06", "1.5", "2", "12", "10,000"]);
    }
}
