//! `share`: mirrors the credential of an object into other namespaces, with the rights of the caller.

mod answer;
mod consent;
mod mirror;

use std::collections::BTreeSet;

use futures::{FutureExt as _, StreamExt as _};
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use self::answer::{Answer, Outcome};
use self::consent::{Consent, Target};
use self::mirror::Found;
use super::answer::Outcome as Waited;
use super::args::{OutputArgs, ShareArgs, WaitArgs};
use super::conditions::{holds, lags};
use super::connect::{FIELD_MANAGER, Session};
use super::format::Format;
use super::interrupt::Interrupt;
use super::objects::Task;
use super::output::{self, Page, note};
use super::progress::{self, Asking};
use super::request;
use super::{Exit, Trouble};
use crate::api::RotatedSecret;
use crate::api::condition::ConditionType;
use crate::desired::SecretArn;
use crate::kubernetes::stored::Brief;

/// Namespaces that are waited for at the same time.
const AT_ONCE: usize = 16;

/// What is shared, and how.
struct Sharing<'a> {
    owner: &'a RotatedSecret,
    arn: &'a SecretArn,
    args: &'a ShareArgs,
    note: Option<String>,
    /// The owner or the mirrors act with an identity of their own, which may belong to another account than the operator's.
    own_identity: bool,
}

/// A mirror before it is written.
struct Planned {
    session: Session,
    target: Target,
    aws_name: String,
    manifest: Value,
    /// The object that has its name.
    existing: Option<RotatedSecret>,
    found: Option<Found>,
}

pub(super) async fn run(session: &Session, args: &ShareArgs) -> Result<Exit, Trouble> {
    let mut seen = BTreeSet::new();
    let targets: Vec<&String> = args.to.iter().filter(|namespace| seen.insert(namespace.as_str())).collect();
    if targets.iter().any(|namespace| **namespace == session.namespace) {
        return Err(Trouble::usage(format!("--to {0}: {1} is in namespace {0} itself", session.namespace, args.name)));
    }
    let owner = session.object(&args.name).await?;
    let arn = mirror::owned(&owner).map_err(Trouble::wrong)?;
    let role = Target::read(session).await?.role().is_some();
    let own_identity = role || owner.spec.aws.service_account_ref.is_some() || args.service_account.is_some();
    let sharing = Sharing { owner: &owner, arn: &arn, args, note: mirror::retirement(&owner), own_identity };
    if args.dry_run.is_some() {
        return sharing.print(session, &targets).await;
    }
    let interrupt = Interrupt::listen();
    let (sharing, waits) = (&sharing, &interrupt);
    let tasks = targets.iter().map(|namespace| async move { (namespace, Box::pin(sharing.carry_out(session, namespace, waits)).await) });
    let ended = futures::stream::iter(tasks).buffered(AT_ONCE).collect::<Vec<_>>().await;
    let single = ended.len() == 1;
    let mut exit = Exit::Fine;
    let mut answers = Vec::new();
    for (namespace, ended) in ended {
        match ended {
            Ok(answer) => {
                exit = exit.and(answer.outcome.exit());
                if args.out.is_text() && answer.outcome.exit() == Exit::Fine {
                    output::write(&Page::of(&answer.message))?;
                } else if args.out.is_text() {
                    note(&format!("error: {}", answer.message));
                }
                answers.push(answer);
            }
            Err(trouble) if single => return Err(trouble),
            Err(trouble) => {
                exit = exit.and(trouble.exit);
                note(&format!("error: {namespace}: {trouble}"));
            }
        }
    }
    match (answers.as_slice(), &sharing.note) {
        ([], _) => {}
        (_, Some(told)) if args.out.is_text() => output::write(&Page::of(told))?,
        ([answer], _) if single => output::emit(&args.out, answer, Page::default)?,
        (answers, _) => output::emit_all(&args.out, answers)?,
    }
    Ok(exit)
}

impl Sharing<'_> {
    /// What there is in the namespace, and what would be written.
    async fn plan(&self, session: &Session, namespace: &str) -> Result<Planned, Trouble> {
        let session = session.within(namespace);
        let target = Target::read(&session).await?;
        // A ServiceAccount comes before the role of the namespace.
        let role = target.role().filter(|_| self.args.service_account.is_none());
        let aws_name = mirror::aws_name(self.arn, role, self.own_identity);
        let name = mirror::mirror_name(self.owner, self.args);
        let existing = session.objects().get_opt(&name).await.map_err(|error| session.trouble("get", &name, &error))?;
        let existing = existing.map(|seen| session.readable(seen)).transpose()?;
        let found = match &existing {
            Some(existing) => {
                // An object is read without the operations of its managers.
                let metadata = session.objects().get_metadata(&name).await.map_err(|error| session.trouble("get", &name, &error))?;
                Some(mirror::found(existing, metadata.managed_fields(), self.arn, &aws_name))
            }
            None => None,
        };
        let manifest = mirror::manifest(self.owner, self.arn, &aws_name, namespace, self.args);
        Ok(Planned { session, target, aws_name, manifest, existing, found })
    }

    /// Mirrors into one namespace. If the name is taken, no consent is given.
    async fn carry_out(&self, session: &Session, namespace: &str, interrupt: &Interrupt) -> Result<Answer, Trouble> {
        let planned = interrupt.before(self.plan(session, namespace)).await?;
        let mut answer = self.answer(&planned);
        let name = answer.name.clone();
        if let Some(Found::Taken(why)) = &planned.found {
            let other = "choose another name with --name";
            return Ok(answer.ended(Outcome::NameTaken, format!("{namespace}: {why}, so nothing was written: {other}")));
        }
        // From here on an interruption ends the wait only, so that the result says what was written.
        if planned.found != Some(Found::Another) {
            answer.changed = planned.apply(&name).await?;
        }
        if self.args.consent && answer.consent != Consent::Present {
            let given = planned.target.give(&planned.session, &planned.aws_name).await;
            given.map_err(|trouble| Trouble { message: format!("{namespace}/{name} is declared; {}", trouble.message), ..trouble })?;
            answer.consent = Consent::Given;
        }
        if answer.consent == Consent::Missing {
            let command = planned.target.command(&planned.session, &planned.aws_name);
            let message = format!(
                "{namespace}/{name} is declared, and the Namespace does not allow it to mirror {} yet: an administrator runs {command}",
                planned.aws_name
            );
            answer.command = Some(command);
            return Ok(answer.ended(Outcome::ConsentMissing, message));
        }
        if self.args.no_wait {
            let status = planned.session.flags.plugin(&format!("status {name}"));
            return Ok(answer.ended(Outcome::Requested, format!("{namespace}/{name} is declared: {status} shows its state")));
        }
        let (outcome, message) = match Box::pin(self.wait(&planned.session, &name, interrupt)).await {
            Ok(ended) => ended,
            // What was written is told all the same.
            Err(trouble) if answer.changed || answer.consent == Consent::Given => {
                (if trouble.exit == Exit::Wrong { Outcome::Refused } else { Outcome::TimedOut }, trouble.message)
            }
            Err(trouble) => return Err(trouble),
        };
        let message = if outcome == Outcome::Shared { done(&answer, &planned) } else { format!("{namespace}/{name}: {message}") };
        Ok(answer.ended(outcome, message))
    }

    /// Waits until the object is Ready. A refresh shows that the operator has seen it, and ends a backoff.
    async fn wait(&self, session: &Session, name: &str, interrupt: &Interrupt) -> Result<(Outcome, String), Trouble> {
        let object = session.object(name).await?;
        if holds(&object, ConditionType::Ready) && !lags(&object) {
            return Ok(self.shared(&object));
        }
        if interrupt.received().now_or_never().is_some() {
            return Ok((Outcome::Interrupted, "interrupted before the result was known".to_owned()));
        }
        // Its steps are not told: each namespace has one line.
        let out = OutputArgs { output: Some(Format::Json) };
        let args = WaitArgs { no_wait: false, cancel: false, timeout: self.args.timeout, out };
        let task = Task { name, args: &args, several: true };
        let object = interrupt.before(request::ready_for(session, task, Asking::Refresh)).await?;
        let wait = request::request_refresh(session, task, &object, interrupt).await?;
        let ended = wait.for_refresh(session, progress::refreshed, "").await?;
        let outcome = match ended.outcome {
            Waited::Done => return Ok(self.shared(&session.object(name).await?)),
            Waited::Refused | Waited::NotMirrored => Outcome::Refused,
            Waited::Interrupted => Outcome::Interrupted,
            _ => Outcome::TimedOut,
        };
        Ok((outcome, ended.message))
    }

    /// The mirror is Ready. It may have found another secret of that name, in the account of its own identity.
    fn shared(&self, mirror: &RotatedSecret) -> (Outcome, String) {
        let found = mirror.status.as_ref().and_then(|status| status.aws.as_ref()?.arn.clone()).unwrap_or_default();
        if found == self.arn.text {
            return (Outcome::Shared, String::new());
        }
        (Outcome::Refused, format!("it mirrors {found}, and not {}: name the AWS secret by its ARN, or delete the object", self.arn.text))
    }

    fn answer(&self, planned: &Planned) -> Answer {
        Answer {
            namespace: planned.session.namespace.clone(),
            name: mirror::mirror_name(self.owner, self.args),
            outcome: Outcome::NameTaken,
            changed: false,
            consent: planned.target.consent(&planned.aws_name),
            aws_secret_name: planned.aws_name.clone(),
            mirror_secret_name: mirror::secret_name(self.owner, self.args),
            message: String::new(),
            command: None,
            note: self.note.clone(),
        }
    }

    /// Prints the manifests. What is missing is told on standard error.
    async fn print(&self, session: &Session, targets: &[&String]) -> Result<Exit, Trouble> {
        let mut exit = Exit::Fine;
        let mut manifests = Vec::new();
        for namespace in targets {
            match self.plan(session, namespace).await {
                Ok(Planned { found: Some(Found::Taken(why)), .. }) => {
                    exit = exit.and(Exit::Wrong);
                    note(&format!("error: {namespace}: {why}: choose another name with --name"));
                }
                Ok(planned) => {
                    if planned.target.consent(&planned.aws_name) == Consent::Missing {
                        let command = planned.target.command(&planned.session, &planned.aws_name);
                        note(&format!("the Namespace {namespace} does not allow it yet: an administrator runs {command}"));
                    }
                    manifests.push(planned.manifest);
                }
                Err(trouble) => {
                    exit = exit.and(trouble.exit);
                    note(&format!("error: {namespace}: {trouble}"));
                }
            }
        }
        if let Some(told) = &self.note {
            note(told);
        }
        self.printed(&manifests)?;
        Ok(exit)
    }

    fn printed(&self, manifests: &[Value]) -> Result<(), Trouble> {
        let out = match &self.args.out.output {
            None | Some(Format::Wide) => &OutputArgs { output: Some(Format::Yaml) },
            Some(_) => &self.args.out,
        };
        match (&self.args.out.output, manifests) {
            (Some(Format::Name), manifests) => {
                let name = mirror::mirror_name(self.owner, self.args);
                let names: Vec<Value> = manifests.iter().map(|_| json!({"name": name})).collect();
                output::emit_all(&self.args.out, &names)
            }
            (_, [manifest]) => output::emit(out, manifest, Page::default),
            (_, manifests) => output::emit(out, &json!({"apiVersion": "v1", "kind": "List", "items": manifests}), Page::default),
        }
    }
}

impl Planned {
    /// Whether anything was changed. The uid lets the request fail if another object has the name by now.
    async fn apply(&self, name: &str) -> Result<bool, Trouble> {
        let mut manifest = self.manifest.clone();
        let uid = self.existing.as_ref().and_then(ResourceExt::uid);
        if let (Some(uid), Some(metadata)) = (uid, manifest.get_mut("metadata").and_then(Value::as_object_mut)) {
            metadata.insert("uid".to_owned(), json!(uid));
        }
        let api: Api<Brief<RotatedSecret>> = Api::namespaced(self.session.client.clone(), &self.session.namespace);
        let applied = api.patch(name, &PatchParams::apply(FIELD_MANAGER), &Patch::Apply(manifest)).await;
        let applied = applied.map_err(|error| match &error {
            kube::Error::Api(status) if status.code == 404 => Trouble::wrong(format!("there is no namespace {}", self.session.namespace)),
            kube::Error::Api(status) if status.message.contains("cannot create") => self.session.trouble("create", name, &error),
            error => self.session.trouble("patch", name, error),
        })?;
        Ok(self.existing.as_ref().is_none_or(|existing| existing.metadata.generation != applied.metadata.generation))
    }
}

fn done(answer: &Answer, planned: &Planned) -> String {
    let Answer { namespace, name, aws_secret_name, mirror_secret_name, .. } = answer;
    let by = if planned.found == Some(Found::Another) { "; another client manages the object, which stays as it is" } else { "" };
    let given = if answer.consent == Consent::Given { "; the Namespace allows it now" } else { "" };
    let secret = planned.existing.as_ref().filter(|_| !by.is_empty());
    let secret = secret.map_or_else(|| mirror_secret_name.clone(), |found| found.spec.target.name.clone().unwrap_or_else(|| name.clone()));
    if answer.changed {
        format!("{namespace}/{name} mirrors {aws_secret_name} in the Secret {secret}{given}")
    } else {
        format!("{namespace}/{name} mirrors {aws_secret_name} in the Secret {secret} already{by}{given}")
    }
}
