//! Opens a built site in headless Chromium: scripts run, the list of chapters is complete, the search finds pages, and
//! every block of code has its button to copy it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// Milliseconds that the scripts of a page get, in the browser's own time.
const BUDGET: &str = "20000";

/// Opens pages of the site with this browser.
///
/// # Errors
/// When the browser fails, or a page does not have what it must have.
pub fn open(browser: &Path, site: &Path) -> Result<()> {
    let site = site.canonicalize().with_context(|| format!("{} is built by make site", site.display()))?;
    let profile = tempfile::tempdir()?;
    let dom = |page: &str| dom(browser, profile.path(), &format!("file://{}/{page}", site.display()));

    let front = dom("index.html")?;
    ensure!(front.contains("sidebar") && count(&front, "chapter-item") > 20, "the list of chapters is shown");
    ensure!(front.contains("docs/concepts.html"), "the list of chapters names the concepts");

    let oncall = dom("docs/schedules.html")?;
    let (code, buttons) = (count(&oncall, "<pre>"), count(&oncall, "clip-button"));
    ensure!(code > 0 && buttons >= code, "each block of code has a button to copy it: {buttons} for {code}");

    for (words, page) in [("AWSPREVIOUS", "runbook"), ("cainjector", "webhook-certificates"), ("Unattended", "plugin")] {
        let found = dom(&format!("index.html?search={words}"))?;
        ensure!(results(&found).contains(&format!("docs/{page}.html?highlight={words}")), "the search for {words} finds {page}");
    }
    let nothing = dom("index.html?search=zzqqxxnothing")?;
    ensure!(results(&nothing).is_empty(), "a search for nonsense finds nothing");
    ensure!(nothing.contains("No search results"), "a search without a result says so");
    Ok(())
}

/// The list of what the search found.
fn results(dom: &str) -> &str {
    let list = dom.split("id=\"mdbook-searchresults\"").nth(1).and_then(|rest| rest.split_once('>'));
    list.and_then(|(_, rest)| rest.split("</ul>").next()).unwrap_or_default().trim()
}

fn count(text: &str, what: &str) -> usize {
    text.matches(what).count()
}

/// The page as it is after its scripts have run.
fn dom(browser: &Path, profile: &Path, url: &str) -> Result<String> {
    let output = Command::new(browser)
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--allow-file-access-from-files",
            "--dump-dom",
        ])
        .arg(format!("--virtual-time-budget={BUDGET}"))
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(url)
        .output()
        .with_context(|| format!("{} cannot be run", browser.display()))?;
    ensure!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
