//! Step 3: the definition, the roles, and the operator with no more rights than these.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use emulator::Emulator;
use serde_json::json;
use uuid::Uuid;

use super::scenario::{PATIENCE, Scenario};
use super::screen::{seconds, typed};
use super::stage::{OPERATOR, REGION, isolated, run};

const ACCOUNT: &str = "rotated-secrets";
pub(super) const MINIMUM: &str = "10s";

pub(super) async fn install(scenario: &Scenario<'_>, binary: &Path) -> Result<()> {
    let screen = scenario.screen;
    screen.headline("The operator is installed, and runs with few rights")?;
    scenario.kubectl(&["apply", "-f", "crds/", "-f", "deploy/install.yaml"]).await?;
    scenario.kubectl(&["wait", "--for=condition=Established", "crd/rotatedsecrets.rotated-secrets.io", "--timeout=60s"]).await?;
    screen.say("There is no node here for the operator's pods: it runs as a process, with the token of their account.")?;
    explain_intervals(scenario, binary).await?;

    let kubeconfig = scenario.stage.control_plane.service_account_kubeconfig(ACCOUNT, ACCOUNT).await?;
    let flags = ["--cluster-id", "demo", "--development", "--minimum-rotation-interval", MINIMUM, "--minimum-request-interval", "0s"];
    screen.command(&typed("rotated-secrets", &[&["run"], flags.as_slice()].concat()))?;
    let (id, took) = scenario.stage.start_operator(screen, binary, &kubeconfig, &flags).await?;
    screen.ok(&format!("the operator runs outside the cluster as process {id} and is ready ({})", seconds(took)))?;
    screen.say(&format!("Its log is {}.", scenario.stage.group.log(OPERATOR).display()))?;

    let person = async |arguments: &[&str]| scenario.stage.kubectl(&kubeconfig, arguments, None).await;
    let user = person(&["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]).await?;
    let expected = format!("system:serviceaccount:{ACCOUNT}:{ACCOUNT}");
    ensure!(user == expected, "expected that the operator's kubeconfig is of {expected}; it is of {user}");
    screen.ok(&format!("its token is of {user}, not of an administrator"))?;
    for (verb, resource, allowed) in [
        ("create", "secrets", true),
        ("delete", "secrets", false),
        ("delete", "rotatedsecrets.rotated-secrets.io", false),
        ("*", "*", false),
    ] {
        // Exits with 1 for a no.
        let answer = match person(&["auth", "can-i", verb, resource, "--all-namespaces"]).await {
            Ok(answer) => answer,
            Err(error) => error.root_cause().to_string(),
        };
        let wanted = if allowed { "yes" } else { "no" };
        ensure!(answer == wanted, "expected that the operator may {verb} {resource}: {wanted}; the API server says: {answer}");
    }
    screen.ok("the API server lets it create Secrets, but not delete Secrets or RotatedSecrets, and it has no wildcard permission")
}

/// Says why the demo needs a flag, and checks what it says.
async fn explain_intervals(scenario: &Scenario<'_>, binary: &Path) -> Result<()> {
    let screen = scenario.screen;
    screen.say("AWS itself rotates a secret no more often than every 4 hours; this operator no more often than every hour, unless")?;
    screen.say(&format!(
        "its administrator says otherwise. The demo cannot wait so long: --development --minimum-rotation-interval {MINIMUM}."
    ))?;
    screen.say("After three requests in a row, the next ones wait for ten minutes each; --minimum-request-interval 0s turns that off.")?;

    let help = run_plainly(binary, &["run", "--help"]).await?.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut flag = help.split("--minimum-rotation-interval").skip(1);
    let default = flag.next().and_then(|rest| rest.split("[default: ").nth(1)).and_then(|rest| rest.split(']').next()).unwrap_or("none");
    ensure!(default == "1h", "expected that the operator's minimum interval is 1h by default; its help says {default}");
    let refused = run_plainly(binary, &["run", "--minimum-rotation-interval", MINIMUM]).await;
    let Err(refusal) = refused else { anyhow::bail!("expected that the operator refuses {MINIMUM} without --development; it does not") };
    ensure!(
        refusal.to_string().contains("--development"),
        "expected that the operator refuses {MINIMUM} without --development; it says: {refusal}"
    );
    ensure!(
        !aws_takes("rate(3 hours)")? && aws_takes("rate(4 hours)")?,
        "expected that the emulated AWS takes rate(4 hours), not rate(3 hours)"
    );
    screen.ok("the emulated AWS refuses rate(3 hours) for its own rotation")?;
    screen.ok(&format!("the operator's default is {default}, and it refuses {MINIMUM} without --development"))
}

async fn run_plainly(binary: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = isolated(binary);
    command.args(arguments).env("AWS_REGION", REGION);
    let ended = tokio::time::timeout(PATIENCE, run(command, None)).await;
    ended.with_context(|| format!("expected that `rotated-secrets {}` ends by itself; it does not", arguments.join(" ")))?
}

/// Whether AWS takes a schedule for its own rotation, in another emulated account. A schedule that it takes fails later, for want of a
/// rotation function.
fn aws_takes(schedule: &str) -> Result<bool> {
    let external_writer = Emulator::new(emulator::Config::default()).external_writer();
    external_writer.create("probe", "probe", &std::collections::BTreeMap::new())?;
    let body = json!({
        "SecretId": "probe",
        "ClientRequestToken": Uuid::new_v4().to_string(),
        "RotationLambdaARN": "arn:aws:lambda:us-east-1:123456789012:function:rotate",
        "RotationRules": {"ScheduleExpression": schedule},
    });
    Ok(external_writer.act("RotateSecret", &body).err().is_none_or(|error| error.code != "InvalidParameterException"))
}
