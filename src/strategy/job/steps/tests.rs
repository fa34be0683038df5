use std::sync::Mutex;

use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use super::super::ask::tests::ask;
use super::*;
use crate::api::TEMPLATE_FOR;
use crate::plaintext::Plaintext;
use crate::value::Payload;

/// A namespace without a clock: nothing happens in it between two calls.
#[derive(Default)]
struct Namespace(Mutex<Objects>);

#[derive(Default)]
struct Objects {
    template: Option<Value>,
    jobs: Vec<Seen>,
    secrets: Vec<(Held, Option<Secret>)>,
    hides_jobs: bool,
    created: usize,
    deleted: usize,
    /// The write of this number fails: before it happens, or after it.
    lost: Option<(usize, bool)>,
    writes: usize,
}

impl Objects {
    /// `Err`: the write did not happen, or nobody learns that it did.
    fn write<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> Result<T, Failure> {
        let (number, lost) = (self.writes, self.lost);
        self.writes += 1;
        let gone = || Failure::conflict("lost");
        if lost == Some((number, false)) {
            return Err(gone());
        }
        let done = act(self);
        if lost == Some((number, true)) { Err(gone()) } else { Ok(done) }
    }
}

impl Port for Namespace {
    async fn template(&self, _: &str) -> Result<Option<Value>, Failure> {
        Ok(self.0.lock().unwrap().template.clone())
    }

    async fn jobs(&self) -> Result<Vec<Seen>, Failure> {
        let objects = self.0.lock().unwrap();
        Ok(if objects.hides_jobs { Vec::new() } else { objects.jobs.clone() })
    }

    async fn secrets(&self) -> Result<Vec<Held>, Failure> {
        Ok(self.0.lock().unwrap().secrets.iter().map(|(held, _)| held.clone()).collect())
    }

    async fn create(&self, job: &Value) -> Result<Created, Failure> {
        self.0.lock().unwrap().write(|objects| {
            let text = |path: &str| job.pointer(path).and_then(Value::as_str).map(str::to_owned);
            let name = text("/metadata/name").unwrap();
            if objects.jobs.iter().any(|job| job.name == name) {
                return Created::Exists;
            }
            assert!(objects.jobs.iter().all(|job| !job.runs()), "two at a time");
            assert!(!job.to_string().contains("canary"), "no value is in a Job");
            objects.created += 1;
            let uid = format!("j-{}", objects.created);
            let inputs = text("/spec/template/metadata/annotations/rotated-secrets.io~1job-inputs");
            let values = text("/spec/template/spec/volumes/0/secret/secretName");
            objects.jobs.push(Seen { name, uid: uid.clone(), created: None, deleting: false, inputs, values, end: None });
            Created::Now(uid)
        })
    }

    async fn delete(&self, job: &Seen) -> Result<(), Failure> {
        self.0.lock().unwrap().write(|objects| {
            objects.deleted += 1;
            objects.jobs.iter_mut().filter(|seen| seen.uid == job.uid).for_each(|seen| seen.deleting = true);
        })
    }

    async fn hold(&self, secret: &Secret) -> Result<(), Failure> {
        self.0.lock().unwrap().write(|objects| {
            let owner = &secret.metadata.owner_references.as_ref().unwrap()[0];
            let name = secret.metadata.name.clone().unwrap();
            let held = Held { uid: format!("s-{name}"), name, job: owner.uid.clone(), read: false };
            objects.secrets.push((held, Some(secret.clone())));
        })
    }

    async fn empty(&self, held: &Held) -> Result<(), Failure> {
        self.0.lock().unwrap().write(|objects| {
            for (found, data) in objects.secrets.iter_mut().filter(|(found, _)| found.uid == held.uid) {
                (found.read, *data) = (true, None);
            }
        })
    }
}

impl Namespace {
    fn new() -> Self {
        let template = json!({
            "metadata": {"annotations": {TEMPLATE_FOR: "orders"}},
            "spec": {"suspend": true, "jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "main"}]}}}}},
        });
        Self(Mutex::new(Objects { template: Some(template), ..Objects::default() }))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Objects) -> T) -> T {
        act(&mut self.0.lock().unwrap())
    }

    /// What a reconcile does.
    async fn call(&self, ask: &Ask<'_>) -> Result<Answer, Stop> {
        let value = Payload::Text(Plaintext::from(r#"{"password":"canary"}"#.to_owned()));
        let values = Values { pending: Some(&value), ..Values::default() };
        match proceed(self, ask).await? {
            Answer::Needs(needs) => {
                let number = self.with(|objects| u32::try_from(objects.created).unwrap());
                begin(self, ask, &needs, &values, number).await.map(Answer::Runs)
            }
            answer => Ok(answer),
        }
    }

    /// The job controller and the garbage collector: pods that have their values end so, and what is deleted goes.
    fn pass(&self, end: End) {
        self.with(|objects| {
            let held: Vec<String> = objects.secrets.iter().filter(|(_, data)| data.is_some()).map(|(held, _)| held.job.clone()).collect();
            objects.jobs.retain(|job| !job.deleting);
            objects.jobs.iter_mut().filter(|job| job.runs() && held.contains(&job.uid)).for_each(|job| job.end = Some(end));
            let jobs: Vec<String> = objects.jobs.iter().map(|job| job.uid.clone()).collect();
            objects.secrets.retain(|(held, _)| jobs.contains(&held.job));
        });
    }

    fn counts(&self) -> (usize, usize) {
        self.with(|objects| (objects.created, objects.deleted))
    }

    fn holds_values(&self) -> bool {
        self.with(|objects| objects.secrets.iter().any(|(_, data)| data.is_some()))
    }
}

fn is_running(answer: &Result<Answer, Stop>) -> bool {
    matches!(answer, Ok(Answer::Runs(_)))
}

fn problem(answer: &Result<Answer, Stop>) -> Option<Problem> {
    match answer {
        Err(Stop::Ended { problem, .. }) => Some(*problem),
        _ => None,
    }
}

#[tokio::test]
async fn a_step_is_one_job_and_its_values_are_gone_when_it_has_ended() {
    let (namespace, ask) = (Namespace::new(), ask(Step::Apply));
    assert!(is_running(&namespace.call(&ask).await) && namespace.holds_values());
    assert!(is_running(&namespace.call(&ask).await), "it goes on");
    namespace.pass(End::Succeeded);
    for _ in 0..3 {
        assert_eq!(namespace.call(&ask).await, Ok(Answer::Done));
        assert!(!namespace.holds_values());
    }
    assert_eq!(namespace.counts(), (1, 0));
    let verify = Ask { step: Step::Verify, ..ask };
    assert!(is_running(&namespace.call(&verify).await));
    assert_eq!(namespace.call(&ask).await, Ok(Answer::Done), "what was applied stays applied while it is verified");
    assert!(is_running(&namespace.call(&verify).await));
    assert_eq!(namespace.counts(), (2, 0));
}

#[tokio::test]
async fn the_result_of_the_next_step_is_not_read_with_that_of_the_one_before() {
    let (namespace, apply) = (Namespace::new(), ask(Step::Apply));
    let verify = Ask { step: Step::Verify, current: None, ..apply };
    for (step, end) in [(apply, End::Succeeded), (verify, End::Refused(Some(4)))] {
        assert!(is_running(&namespace.call(&step).await));
        namespace.pass(end);
        assert_eq!(namespace.call(&apply).await, Ok(Answer::Done), "each reconcile begins with it");
    }
    assert_eq!(problem(&namespace.call(&verify).await), Some(Refused::JobRefused.into()));
    assert!(!namespace.holds_values());
}

#[tokio::test]
async fn what_was_verified_counts_for_what_was_applied_before_it_only() {
    let (namespace, apply) = (Namespace::new(), ask(Step::Apply));
    let verify = Ask { step: Step::Verify, current: None, ..apply };
    for step in [apply, verify] {
        assert!(is_running(&namespace.call(&step).await));
        namespace.pass(End::Succeeded);
        assert_eq!(namespace.call(&step).await, Ok(Answer::Done));
    }
    // The older Job is deleted at the end of its time.
    namespace.with(|objects| objects.jobs.retain(|job| job.name != apply.name()));
    assert!(is_running(&namespace.call(&apply).await));
    namespace.pass(End::Succeeded);
    assert_eq!(namespace.call(&apply).await, Ok(Answer::Done));
    assert!(is_running(&namespace.call(&verify).await), "once more");
}

#[tokio::test]
async fn a_process_may_end_at_every_write_and_there_are_never_two_jobs_at_a_time() {
    let mut most = 0;
    for lost in (0..12).flat_map(|number| [Some((number, false)), Some((number, true))]).chain([None]) {
        let (namespace, ask) = (Namespace::new(), ask(Step::Apply));
        namespace.with(|objects| objects.lost = lost);
        let ends = [End::Failed, End::Refused(Some(2)), End::TimedOut, End::Succeeded];
        let mut last = None;
        for turn in 0..30 {
            last = Some(namespace.call(&ask).await);
            if last == Some(Ok(Answer::Done)) {
                break;
            }
            let created = namespace.counts().0;
            if turn % 2 == 1 {
                namespace.pass(ends[created.saturating_sub(1).min(3)]);
            }
        }
        assert_eq!(last, Some(Ok(Answer::Done)), "{lost:?}");
        assert!(!namespace.holds_values(), "{lost:?}");
        assert_eq!(namespace.counts().0, 4, "{lost:?}: a new one for each attempt");
        most = most.max(namespace.with(|objects| objects.writes));
    }
    assert!(most > 12, "{most} writes");
}

#[tokio::test]
async fn a_failure_is_told_once_and_the_next_attempt_waits_until_the_job_is_gone() {
    let (namespace, ask) = (Namespace::new(), ask(Step::Apply));
    assert!(is_running(&namespace.call(&ask).await));
    namespace.pass(End::Refused(Some(3)));
    let Err(Stop::Ended { problem, job }) = namespace.call(&ask).await else { panic!("it ended") };
    assert_eq!((problem, job), (Refused::JobRefused.into(), Some((ask.name(), Some(3)))));
    assert!(!namespace.holds_values());
    for _ in 0..3 {
        let Ok(Answer::Runs(begun)) = namespace.call(&ask).await else { panic!("the next attempt") };
        assert!(begun.earlier, "its pods may still run");
    }
    assert_eq!(namespace.counts(), (1, 1));
    namespace.pass(End::Succeeded);
    assert!(is_running(&namespace.call(&ask).await));
    assert_eq!(namespace.counts(), (2, 1));
}

#[tokio::test]
async fn a_check_makes_a_new_job_each_time() {
    let (namespace, ask) = (Namespace::new(), Ask { current: None, ..ask(Step::Check) });
    for expected in 1..4 {
        assert!(is_running(&namespace.call(&ask).await));
        namespace.pass(End::Succeeded);
        assert_eq!(namespace.call(&ask).await, Ok(Answer::Done));
        assert!(is_running(&namespace.call(&ask).await), "the answer was read");
        namespace.pass(End::Succeeded);
        assert_eq!(namespace.counts(), (expected, expected));
    }
}

#[tokio::test]
async fn a_step_waits_until_another_one_has_ended_and_undo_trusts_no_result_beside_it() {
    let (namespace, apply) = (Namespace::new(), ask(Step::Apply));
    let undo = Ask { step: Step::Undo, ..apply };
    assert!(is_running(&namespace.call(&apply).await));
    let Ok(Answer::Runs(begun)) = namespace.call(&undo).await else { panic!("the other one ends first") };
    assert_eq!((begun.job, begun.earlier), (apply.name(), true));
    assert_eq!(namespace.counts(), (1, 1));
    namespace.pass(End::Succeeded);
    assert!(is_running(&namespace.call(&undo).await));
    namespace.pass(End::Succeeded);
    // A replica that was stopped creates its Job now.
    namespace.with(|objects| {
        let late =
            Seen { name: apply.name(), uid: "late".to_owned(), created: None, deleting: false, inputs: None, values: None, end: None };
        objects.jobs.push(late);
    });
    assert!(is_running(&namespace.call(&undo).await), "the success may be older than what the other one did");
    assert_eq!(namespace.counts(), (2, 3), "both are deleted");
    namespace.pass(End::Succeeded);
    assert!(is_running(&namespace.call(&undo).await));
    namespace.pass(End::Succeeded);
    assert_eq!(namespace.call(&undo).await, Ok(Answer::Done));
}

#[tokio::test]
async fn what_a_job_was_made_from_decides_whether_it_counts() {
    let (namespace, ask) = (Namespace::new(), ask(Step::Apply));
    assert!(is_running(&namespace.call(&ask).await));
    let other = Ask { current: Some("v-9"), ..ask };
    assert!(is_running(&namespace.call(&other).await));
    assert_eq!(namespace.counts(), (1, 1), "another version is current");
    namespace.pass(End::Succeeded);
    assert!(is_running(&namespace.call(&other).await));
    namespace.pass(End::Succeeded);
    namespace.with(|objects| {
        let job_template = objects.template.as_mut().unwrap().pointer_mut("/spec/jobTemplate").unwrap();
        job_template["metadata"] = json!({"labels": {"edited": "yes"}});
    });
    assert!(is_running(&namespace.call(&other).await));
    assert_eq!(namespace.counts(), (2, 2), "the template was edited");
}

#[tokio::test]
async fn without_a_template_nothing_is_created_and_values_are_taken_away() {
    let (namespace, ask) = (Namespace::new(), ask(Step::Apply));
    assert!(is_running(&namespace.call(&ask).await));
    let template = namespace.with(|objects| objects.template.take());
    assert_eq!(problem(&namespace.call(&ask).await), Some(Refused::TemplateMissing.into()));
    namespace.pass(End::Succeeded);
    assert_eq!(problem(&namespace.call(&ask).await), Some(Refused::TemplateMissing.into()));
    assert!(!namespace.holds_values());
    for (path, value, refused) in [
        ("/spec/suspend", json!(false), Refused::TemplateNotSuspended),
        ("/metadata/annotations", json!({TEMPLATE_FOR: "another"}), Refused::TemplateNotOffered),
        ("/spec/jobTemplate/spec/template", json!(7), Refused::TemplateUnusable),
    ] {
        let namespace = Namespace::new();
        namespace.with(|objects| {
            objects.template.clone_from(&template);
            *objects.template.as_mut().unwrap().pointer_mut(path).unwrap() = value;
        });
        assert_eq!(problem(&namespace.call(&ask).await), Some(refused.into()));
        assert_eq!(namespace.counts(), (0, 0));
    }
}

#[tokio::test]
async fn a_job_of_another_owner_with_this_name_is_not_used() {
    let (namespace, ask) = (Namespace::new(), ask(Step::Apply));
    let Ok(Answer::Needs(needs)) = proceed(&namespace, &ask).await else { panic!("nothing is there") };
    assert!(is_running(&namespace.call(&ask).await));
    let second = begin(&namespace, &ask, &needs, &Values::default(), 7).await;
    assert_eq!(second.map(|begun| begun.job), Ok(ask.name()), "another replica was faster");
    // One that is not the object's is not shown.
    namespace.with(|objects| objects.hides_jobs = true);
    let answer = begin(&namespace, &ask, &needs, &Values::default(), 7).await;
    assert_eq!(answer.map(|_| ()), Err(Refused::JobNameTaken.into()));
}
