//! No byte of a secret anywhere but in AWS and in the data of the Secrets, at the loudest log and whatever goes wrong.

use anyhow::{Result, ensure};

use crate::recorded::recorded;

#[tokio::test(flavor = "multi_thread")]
async fn no_value_is_seen_anywhere_but_in_aws_and_in_the_secrets() -> Result<()> {
    let recorded = recorded().await?;
    let scanner = &recorded.scanner;
    let size: usize = recorded.texts.values().map(String::len).sum();
    println!(
        "hygiene: {} values in {} forms, searched for in {} texts of {size} bytes: {:?}",
        scanner.values(),
        scanner.forms(),
        recorded.texts.len(),
        recorded.texts.iter().map(|(what, text)| format!("{what} ({})", text.len())).collect::<Vec<_>>(),
    );
    ensure!(scanner.values() > 20, "the story has made values");
    // The scanner would have found them: in the Secrets they are.
    ensure!(!recorded.mirrors.is_empty() && recorded.mirrors.iter().any(|data| !scanner.find(data).is_empty()), "it finds what is there");
    let gathered = [
        "the events",
        "the rotatedsecrets.rotated-secrets.io",
        "every state of every RotatedSecret",
        "the secrets",
        "the audit log",
        "the audit stream",
    ];
    for what in gathered {
        ensure!(recorded.texts.get(what).is_some_and(|text| !text.is_empty()), "{what} were gathered: {:?}", recorded.texts.keys());
    }
    ensure!(recorded.texts["what the first life said"].contains(r#""level":"DEBUG""#), "the log was loud");
    ensure!(recorded.texts["what the second life said"].contains(" DEBUG "), "in the other format, too");
    let found: Vec<(&String, Vec<&str>)> =
        recorded.texts.iter().map(|(what, text)| (what, scanner.find(text))).filter(|(_, found)| !found.is_empty()).collect();
    ensure!(found.is_empty(), "values were found: {found:#?}");
    Ok(())
}
