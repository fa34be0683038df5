//! The subcommands.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, Parser, Subcommand};
use xtask::image::{Needs, operator};
use xtask::{chart, recording, reference, sbom, site};

/// Writes the generated and the released files of Rotated Secrets.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Write the operator's image as an archive, without a container engine
    Image(ImageArgs),
    /// Write the bill of materials of the operator, in the format of `CycloneDX`
    Sbom(SbomArgs),
    /// Print docs/reference.md, generated from the definition in crds/
    Reference {
        #[arg(default_value = "crds/rotatedsecrets.yaml", value_name = "DEFINITION")]
        definition: PathBuf,
    },
    /// Write the files that are generated from the chart: its copy of the definition, its README, deploy/install.yaml
    Chart {
        /// Write nothing; fail when a file is out of date
        #[arg(long)]
        check: bool,
    },
    /// Package the chart of a release, which names the image by its digest, and write the plain manifests install.yaml
    Package(PackageArgs),
    /// Print docs/demo.svg, rendered from the output of `cargo demo`
    Recording {
        /// What the demo has printed
        #[arg(value_name = "FILE")]
        output: PathBuf,
    },
    /// Build the pages as a site in target/site, and check its links, its anchors and its search index
    Site {
        /// The mdBook to use
        #[arg(long, value_name = "FILE")]
        mdbook: PathBuf,
        /// Open the site in this Chromium too
        #[arg(long, value_name = "FILE")]
        browser: Option<PathBuf>,
    },
}

impl Cli {
    pub(crate) fn run(self) -> Result<()> {
        match self.task {
            Task::Image(arguments) => write_image(&arguments),
            Task::Sbom(arguments) => write_sbom(&arguments),
            Task::Reference { definition } => {
                let text = std::fs::read_to_string(&definition).with_context(|| format!("cannot read {}", definition.display()))?;
                print!("{}", reference::markdown(&text)?);
                Ok(())
            }
            Task::Chart { check } => write_chart(check),
            Task::Package(arguments) => write_package(&arguments),
            Task::Recording { output } => {
                let text = std::fs::read_to_string(&output).with_context(|| format!("cannot read {}", output.display()))?;
                print!("{}", recording::svg(&text)?);
                Ok(())
            }
            Task::Site { mdbook, browser } => build_site(&mdbook, browser.as_deref()),
        }
    }
}

#[derive(Debug, Args)]
struct ImageArgs {
    /// The static program that image/build builds
    #[arg(long, value_name = "FILE")]
    binary: PathBuf,
    /// The archive to write; docker load, ctr images import and skopeo copy oci-archive:FILE read it
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The image's name in the archive
    #[arg(long, value_name = "NAME:TAG", default_value = concat!("rotated-secrets:", env!("CARGO_PKG_VERSION")))]
    name: String,
    #[command(flatten)]
    time: Time,
}

#[derive(Debug, Args)]
struct SbomArgs {
    /// The document to write, in the format of `CycloneDX`
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The target, such as aarch64-unknown-linux-gnu; default: this machine's
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// The program that the document describes, for its checksum
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    #[command(flatten)]
    time: Time,
}

#[derive(Debug, Args)]
struct PackageArgs {
    /// The version of chart and operator
    #[arg(long, value_name = "VERSION")]
    version: String,
    /// The image without tag and digest
    #[arg(long, value_name = "REPOSITORY")]
    repository: String,
    /// The digest of the image
    #[arg(long, value_name = "SHA256:...")]
    digest: String,
    /// The repository of the source, for the links of the chart and its alerts
    #[arg(long, value_name = "https://github.com/OWNER/NAME")]
    source: String,
    /// The directory for the files
    #[arg(long, value_name = "DIRECTORY")]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct Time {
    /// The time that is recorded in it, in seconds since 1970: for a release, the time of the commit
    #[arg(long, env = "SOURCE_DATE_EPOCH", value_name = "SECONDS")]
    time: Option<u64>,
}

fn write_image(args: &ImageArgs) -> Result<()> {
    let image = operator(&args.binary, Needs::Nothing, args.time.time.unwrap_or_default())?;
    let written = image.write(&[&args.name], &args.out)?;
    println!("{} {}", args.name, written.digest);
    println!("{} bytes to fetch, {} bytes on the node", written.compressed, written.uncompressed);
    Ok(())
}

fn build_site(mdbook: &Path, browser: Option<&Path>) -> Result<()> {
    let out = Path::new("target");
    site::build(Path::new("."), mdbook, out)?;
    let site = out.join("site");
    let checked = site::check(&site)?;
    println!("{}: {} pages, {} links", site.join("index.html").display(), checked.pages, checked.links);
    if let Some(browser) = browser {
        site::open(browser, &site)?;
        println!("opened in {}: chapters, search and copy buttons work", browser.display());
    }
    Ok(())
}

fn write_sbom(args: &SbomArgs) -> Result<()> {
    let document = sbom::sbom(args.target.as_deref(), args.binary.as_deref(), args.time.time)?;
    let text = serde_json::to_string_pretty(&document)?;
    std::fs::write(&args.out, text + "\n").with_context(|| format!("{} cannot be written", args.out.display()))
}

/// Writes the files that are generated from the chart, or names those that are out of date.
fn write_chart(check: bool) -> Result<()> {
    let rendered = render()?;
    if !check {
        for path in chart::write(&rendered)? {
            println!("{path}");
        }
        return Ok(());
    }
    let differing: Vec<_> = chart::differing(&rendered)?.into_iter().map(|(path, _)| path).collect();
    if !differing.is_empty() {
        bail!("out of date: {}; run `make generate`", differing.join(", "));
    }
    Ok(())
}

fn write_package(args: &PackageArgs) -> Result<()> {
    let release = chart::Release { version: &args.version, repository: &args.repository, digest: &args.digest, source: &args.source };
    // helm runs in the repository.
    let out = std::path::absolute(&args.out)?;
    for file in chart::package(&release, &out, helm)? {
        println!("{}", file.display());
    }
    Ok(())
}

/// The chart's manifests.
fn render() -> Result<String> {
    let mut command = helm();
    command.args(["template", chart::NAME, chart::DIRECTORY, "--namespace", chart::NAME]).args(chart::DEFAULTS);
    let output = command.stderr(std::process::Stdio::inherit()).output().context("cargo cannot be started: install Rust from rustup.rs")?;
    ensure!(output.status.success(), "helm could not render the chart");
    String::from_utf8(output.stdout).context("helm printed no UTF-8")
}

/// The pinned helm. `testbed helm` provides it where this machine does not have it yet.
fn helm() -> Command {
    let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(repository).args(["run", "--quiet", "--locked", "--bin", "testbed", "--", "helm"]);
    for (name, _) in std::env::vars_os() {
        // No setting of this machine changes the result.
        if ["HELM_", "KUBE"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command
}
