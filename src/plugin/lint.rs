//! `lint`: checks manifests without a cluster. For CI.

mod report;
mod sarif;

use self::report::{Entry, Report};
use super::args::{LintArgs, LintFormat, OutputArgs};
use super::format::Format;
use super::output::{self, Page};
use super::table::Tone;
use super::{Exit, Trouble, files};
use crate::lint::{Finding, Level, check};

pub(super) fn run(args: &LintArgs) -> Result<Exit, Trouble> {
    let mut report = Report { files: 0, objects: 0, errors: 0, warnings: 0, findings: Vec::new() };
    for file in files::read(&args.files, args.recursive, files::MANIFESTS)? {
        let checked = check(&file.text);
        report.files = report.files.saturating_add(1);
        report.objects = report.objects.saturating_add(checked.objects);
        report.findings.extend(checked.findings.into_iter().map(|finding| entry(&file.path, finding)));
    }
    let count = |level: &str| report.findings.iter().filter(|finding| finding.level == level).count();
    (report.errors, report.warnings) = (count("error"), count("warning"));
    let json = OutputArgs { output: Some(Format::Json) };
    match args.output {
        LintFormat::Text => output::write(&page(&report, output::colours()))?,
        LintFormat::Json => output::emit(&json, &report, Page::default)?,
        LintFormat::Sarif => output::emit(&json, &sarif::document(&report.findings), Page::default)?,
    }
    let failed = report.errors > 0 || (args.fail_on == Level::Warning && report.warnings > 0);
    Ok(Exit::fine_if(!failed))
}

fn entry(path: &str, finding: Finding) -> Entry {
    Entry {
        file: path.to_owned(),
        line: finding.place.line,
        column: finding.place.column,
        level: if finding.level == Level::Error { "error" } else { "warning" },
        rule: finding.rule.id(),
        field: finding.path,
        message: finding.message,
    }
}

fn page(report: &Report, colours: bool) -> Page {
    let mut page = Page::default();
    for Entry { file, line, column, level, rule, message, .. } in &report.findings {
        let tone = if *level == "error" { Tone::Bad } else { Tone::Caution };
        page.painted(&format!("{file}:{line}:{column}: {level}: {message} [{rule}]"), tone, colours);
    }
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    page.line(&format!(
        "{} in {}: {}, {}",
        plural(report.objects, "RotatedSecret"),
        plural(report.files, "file"),
        plural(report.errors, "error"),
        plural(report.warnings, "warning")
    ));
    page
}
