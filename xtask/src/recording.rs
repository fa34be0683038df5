//! A picture of the demo in a terminal, from what `cargo demo` has printed: its steps, the commands that it types, and
//! the statements that it has checked. Dates, addresses and places are left out. Where the viewer allows motion, the lines
//! appear one after the other.

use std::fmt::Write as _;

use anyhow::{Result, ensure};

/// Columns of the terminal.
const WIDTH: usize = 108;
/// Height of a line, and width of a column, in pixels.
const LINE: usize = 18;
const COLUMN: usize = 8;
/// Milliseconds between two lines.
const DELAY: usize = 250;

const STYLE: &str = "\
svg{--back:#fff;--text:#24292f;--head:#0550ae;--ok:#116329;--edge:#d0d7de}
@media(prefers-color-scheme:dark){svg{--back:#0d1117;--text:#e6edf3;--head:#79c0ff;--ok:#7ee787;--edge:#30363d}}
rect{fill:var(--back);stroke:var(--edge)}
text{fill:var(--text);font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;white-space:pre}
.h{fill:var(--head);font-weight:bold}.o{fill:var(--ok)}
@media(prefers-reduced-motion:no-preference){g text{animation:s .2s both}}
@keyframes s{from{opacity:0}to{opacity:1}}
";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Step,
    Command,
    Checked,
}

/// Renders what the demo has printed.
///
/// # Errors
/// When this is not the output of a demo that has ended.
pub fn svg(output: &str) -> Result<String> {
    ensure!(output.contains("\nDone in "), "the demo has not ended");
    let lines = lines(output);
    ensure!(steps(&lines).len() > 5, "these are not the steps of the demo: {:?}", steps(&lines));
    let (width, height) = (WIDTH.saturating_add(4).saturating_mul(COLUMN), lines.len().saturating_add(2).saturating_mul(LINE));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>cargo demo</title>\n\
         <style>{STYLE}</style>\n<rect x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"8\"/>\n<g>\n",
        width.saturating_sub(1),
        height.saturating_sub(1)
    );
    for (number, (kind, text)) in lines.iter().enumerate() {
        let class = match kind {
            Kind::Step => "h",
            Kind::Command => "c",
            Kind::Checked => "o",
        };
        let (y, delay) = (number.saturating_mul(LINE).saturating_add(30), number.saturating_mul(DELAY));
        writeln!(svg, "<text class=\"{class}\" x=\"16\" y=\"{y}\" style=\"animation-delay:{delay}ms\">{}</text>", escaped(text))?;
    }
    svg.push_str("</g>\n</svg>\n");
    Ok(svg)
}

/// The headlines of the steps, without their numbers.
fn steps(lines: &[(Kind, String)]) -> Vec<&str> {
    lines
        .iter()
        .filter(|(kind, _)| *kind == Kind::Step)
        .map(|(_, text)| text.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' '))
        .collect()
}

fn lines(output: &str) -> Vec<(Kind, String)> {
    output.lines().filter_map(kept).map(|(kind, line)| (kind, cut(line))).collect()
}

fn kept(line: &str) -> Option<(Kind, &str)> {
    let step = !line.starts_with("    ") && line.trim_start().split_once("  ").is_some_and(|(number, _)| number.parse::<u8>().is_ok());
    let kind = if step {
        Kind::Step
    } else if line.starts_with("    $ ") {
        Kind::Command
    } else if line.starts_with("    ok  ") {
        Kind::Checked
    } else {
        return None;
    };
    (kind == Kind::Step || !changes(line)).then_some((kind, line))
}

/// Whether a line tells seconds, dates, addresses or places, which say nothing to a reader.
fn changes(line: &str) -> bool {
    let number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let words: Vec<&str> = line.split([' ', '(', ')', ',']).collect();
    let timed = words.windows(2).any(|pair| matches!(pair, [count, "s"] if number(count)));
    let dated = words.iter().any(|word| word.len() == 10 && number(word) && word.matches('-').count() == 2);
    timed || dated || line.contains("://") || line.contains("/tmp/") || line.contains(" process ")
}

fn cut(line: &str) -> String {
    if line.chars().count() <= WIDTH { line.to_owned() } else { line.chars().take(WIDTH.saturating_sub(1)).chain(['…']).collect() }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = include_str!("../../docs/demo.svg");

    #[test]
    fn dates_addresses_and_places_are_left_out() {
        let output = " 4  A user creates a credential\n    $ kubectl get rsec\n      NAME\n    ok  rotated 574 ms after the due time\n    \
                      ok  it runs (5.0 s)\n    ok  it is due on 2026-12-27\n    ok  its log is /tmp/x\n10  What happened\n    ok  a & b\n";
        let kept = lines(output);
        let texts: Vec<&str> = kept.iter().map(|(_, text)| text.as_str()).collect();
        let expected = [
            " 4  A user creates a credential",
            "    $ kubectl get rsec",
            "    ok  rotated 574 ms after the due time",
            "10  What happened",
            "    ok  a & b",
        ];
        assert_eq!(texts, expected);
        assert_eq!(steps(&kept), ["A user creates a credential", "What happened"]);
        assert!(svg(output).is_err(), "it has not ended");
    }

    /// The literals of `headline("...")` in the source of the demo.
    fn headlines() -> std::collections::BTreeSet<String> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../testbed/src/cli/demo");
        std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
            .flat_map(|text| {
                let found: Vec<String> =
                    text.split("headline(\"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect();
                found
            })
            // With --keep only.
            .filter(|headline| headline != "Everything keeps running until Ctrl-C")
            .collect()
    }

    #[test]
    fn the_recording_has_the_steps_of_the_demo() {
        let recorded: std::collections::BTreeSet<String> = RECORDED
            .lines()
            .filter_map(|line| line.strip_prefix("<text class=\"h\"")?.split_once('>')?.1.strip_suffix("</text>"))
            .map(|text| text.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ').to_owned())
            .collect();
        assert_eq!(recorded, headlines().iter().map(|text| escaped(text)).collect(), "type: make recording");
        assert!(recorded.len() > 5, "{recorded:?}");
    }

    #[test]
    fn the_recording_is_readable_in_light_and_dark_and_without_motion() {
        assert!(RECORDED.contains(STYLE), "type: make recording");
        let told = |line: &str| line.split_once('>').is_some_and(|(_, text)| !changes(text));
        assert!(RECORDED.lines().filter(|line| line.starts_with("<text class=\"o\"")).all(told), "no dates");
    }
}
