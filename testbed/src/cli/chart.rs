//! `chart` and `helm`: for those who change the chart.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use testbed::chart;
use testbed::controlplane::binaries;

/// Writes the files that are made from others, or says which are not as they should be.
pub(crate) fn chart(check: bool) -> Result<()> {
    binaries::provision_helm()?;
    if !check {
        for path in chart::write()? {
            println!("{path}");
        }
        return Ok(());
    }
    let differing: Vec<_> = chart::differing()?.into_iter().map(|(path, _)| path).collect();
    if !differing.is_empty() {
        bail!("out of date: {}; type `make generate`", differing.join(", "));
    }
    Ok(())
}

/// Ends as helm ends.
pub(crate) fn helm(arguments: &[String]) -> Result<ExitCode> {
    let status = Command::new(binaries::provision_helm()?).args(arguments).status().context("helm cannot be started")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
