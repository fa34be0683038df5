//! `image` and `sbom`: what is shipped, and what it is made of.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use testbed::image::{Needs, operator};

#[derive(Debug, Args)]
pub(crate) struct ImageArgs {
    /// The static program, as image/build makes it
    #[arg(long, value_name = "FILE")]
    binary: PathBuf,
    /// Where the archive goes; docker load, ctr images import and skopeo copy oci-archive:FILE read it
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The image's name in the archive
    #[arg(long, value_name = "NAME:TAG", default_value = concat!("rotated-secrets:", env!("CARGO_PKG_VERSION")))]
    name: String,
    #[command(flatten)]
    time: Time,
}

#[derive(Debug, Args)]
pub(crate) struct SbomArgs {
    /// Where the document goes; its format is that of `CycloneDX`
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// For which target, such as aarch64-unknown-linux-gnu; default: this machine's own
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// The program that it tells about, for its checksum
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    #[command(flatten)]
    time: Time,
}

#[derive(Debug, Args)]
struct Time {
    /// The time that is written into it, in seconds since 1970: the commit's, for a release
    #[arg(long, env = "SOURCE_DATE_EPOCH", value_name = "SECONDS")]
    time: Option<u64>,
}

pub(crate) fn image(args: &ImageArgs) -> Result<()> {
    let image = operator(&args.binary, Needs::Nothing, args.time.time.unwrap_or_default())?;
    let written = image.write(&[&args.name], &args.out)?;
    println!("{} {}", args.name, written.digest);
    println!("{} bytes to fetch, {} bytes on the node", written.compressed, written.uncompressed);
    Ok(())
}

pub(crate) fn sbom(args: &SbomArgs) -> Result<()> {
    let document = testbed::sbom::sbom(args.target.as_deref(), args.binary.as_deref(), args.time.time)?;
    let text = serde_json::to_string_pretty(&document)?;
    std::fs::write(&args.out, text + "\n").with_context(|| format!("{} cannot be written", args.out.display()))
}
