//! What the rule suite cannot see from outside: the past, the seed, refusals that must leave no trace.

use jiff::Timestamp;
use serde_json::json;

use super::*;

const TOKEN: &str = "11111111-1111-1111-1111-111111111111";

struct Bench {
    store: Store,
    now: Timestamp,
    count: u32,
}

impl Bench {
    fn new() -> Self {
        Self {
            store: Store::new(1, Lags::default(), crate::queue::Queues::default()),
            now: "2026-05-05T12:00:00Z".parse().unwrap(),
            count: 0,
        }
    }

    fn wait(&mut self, seconds: u64) {
        self.now = after(self.now, Duration::from_secs(seconds));
    }

    fn call(&mut self, operation: &str, body: &Value) -> Answer {
        self.call_stale(operation, body, 0)
    }

    fn call_stale(&mut self, operation: &str, body: &Value, age: u64) -> Answer {
        let caller = Caller { region: "us-east-1", now: self.now, age: Duration::from_secs(age) };
        self.store.call(caller, operation, body)
    }

    fn create(&mut self, name: &str) {
        self.call("CreateSecret", &json!({"Name": name, "ClientRequestToken": TOKEN, "SecretString": "first"})).unwrap();
    }

    fn put(&mut self, name: &str, label: &str) -> String {
        self.count += 1;
        let token = format!("{:032}", self.count);
        let body = json!({"SecretId": name, "ClientRequestToken": token, "SecretString": token, "VersionStages": [label]});
        self.call("PutSecretValue", &body).unwrap();
        token
    }

    fn value(&mut self, name: &str, age: u64) -> Result<String, String> {
        let read = self.call_stale("GetSecretValue", &json!({"SecretId": name}), age);
        read.map(|got| got["SecretString"].as_str().unwrap().to_owned()).map_err(|error| error.code.into_owned())
    }
}

#[test]
fn a_stale_read_sees_each_former_state_until_it_was_replaced() {
    let mut bench = Bench::new();
    bench.wait(10);
    bench.create("s");
    bench.wait(10);
    let second = bench.put("s", "AWSCURRENT");
    bench.wait(10);
    assert_eq!(bench.value("s", 0), Ok(second.clone()));
    assert_eq!(bench.value("s", 5), Ok(second));
    assert_eq!(bench.value("s", 15), Ok("first".to_owned()));
    assert_eq!(bench.value("s", 25), Err("ResourceNotFoundException".to_owned()));
}

#[test]
fn a_stale_read_still_sees_a_secret_that_is_gone() {
    let mut bench = Bench::new();
    bench.create("s");
    bench.wait(60);
    bench.call("DeleteSecret", &json!({"SecretId": "s", "ForceDeleteWithoutRecovery": true})).unwrap();
    bench.wait(10);
    assert_eq!(bench.value("s", 0), Err("ResourceNotFoundException".to_owned()));
    assert_eq!(bench.value("s", 30), Ok("first".to_owned()));
}

#[test]
fn a_write_acts_on_the_newest_state_however_stale_the_caller_is() {
    let mut bench = Bench::new();
    bench.create("s");
    bench.wait(10);
    let next = bench.put("s", "AWSPENDING");
    let body = json!({"SecretId": "s", "VersionStage": "AWSCURRENT", "RemoveFromVersionId": TOKEN, "MoveToVersionId": next});
    bench.call_stale("UpdateSecretVersionStage", &body, 3000).unwrap();
    assert_eq!(bench.value("s", 0), Ok(next));
}

#[test]
fn the_past_is_forgotten() {
    let mut bench = Bench::new();
    for _ in 0..100 {
        bench.create("s");
        bench.wait(1);
        bench.store.purge("us-east-1", "s", bench.now);
    }
    bench.wait(MEMORY.as_secs() + 1);
    bench.call("ListSecrets", &json!({})).unwrap();
    assert!(bench.store.shelves.values().all(BTreeMap::is_empty));
    assert!(bench.store.due.is_empty());
}

#[test]
fn a_purged_name_is_free_at_once() {
    let mut bench = Bench::new();
    bench.create("s");
    assert!(bench.store.purge("us-east-1", "s", bench.now));
    assert!(!bench.store.purge("us-east-1", "s", bench.now));
    bench.create("s");
}

#[test]
fn arns_follow_from_the_seed() {
    let arn = |seed| {
        let mut bench = Bench::new();
        bench.store = Store::new(seed, Lags::default(), crate::queue::Queues::default());
        bench.create("s");
        bench.call("DescribeSecret", &json!({"SecretId": "s"})).unwrap()["ARN"].clone()
    };
    assert_eq!(arn(1), arn(1));
    assert_ne!(arn(1), arn(2));
}

#[test]
fn a_label_too_many_leaves_no_version_behind() {
    let mut bench = Bench::new();
    bench.create("s");
    for n in 0..19 {
        bench.put("s", &format!("l{n}"));
    }
    let count = |bench: &Bench| bench.store.all().map(|(_, secret)| secret.versions.len()).sum::<usize>();
    let before = count(&bench);
    let body = json!({"SecretId": "s", "ClientRequestToken": "x".repeat(32), "SecretString": "x", "VersionStages": ["more"]});
    assert_eq!(bench.call("PutSecretValue", &body).unwrap_err().code, "LimitExceededException");
    assert_eq!(count(&bench), before);
}

#[test]
fn a_list_that_lies_shows_nothing_or_strangers_or_dates_that_are_ahead_and_descriptions_are_true() {
    let mut bench = Bench::new();
    bench.create("s");
    let described = bench.call("DescribeSecret", &json!({"SecretId": "s"})).unwrap();
    let mut listed = |lie| {
        bench.store.set_list_lie(lie);
        bench.call("ListSecrets", &json!({})).unwrap()["SecretList"].as_array().cloned().unwrap()
    };
    let truth = listed(None);
    assert_eq!(truth[0]["LastChangedDate"], described["LastChangedDate"]);
    assert_eq!(listed(Some(ListLie::Nothing)), Vec::<Value>::new());
    let strangers = listed(Some(ListLie::Strangers));
    assert_eq!((strangers.len(), &strangers[1]), (2, &truth[0]));
    assert!(strangers[0]["Name"] == "s" && strangers[0]["ARN"] != truth[0]["ARN"], "{strangers:?}");
    let future = listed(Some(ListLie::Future));
    assert!(future[0]["LastChangedDate"].as_f64() > truth[0]["LastChangedDate"].as_f64() && future[0]["ARN"] == truth[0]["ARN"]);
    assert_eq!(bench.call("DescribeSecret", &json!({"SecretId": "s"})).unwrap(), described);
}

#[test]
fn nothing_in_a_store_prints_a_value() {
    let mut bench = Bench::new();
    let body = json!({"Name": "s", "ClientRequestToken": TOKEN, "SecretString": "hunter2"});
    bench.call("CreateSecret", &body).unwrap();
    let secrets: Vec<_> = bench.store.all().collect();
    assert!(!format!("{secrets:?}").contains("hunter2"));
}

#[test]
fn with_a_function_a_rotation_makes_an_empty_pending_version_that_is_filled_once() {
    let mut bench = Bench::new();
    bench.store.allow_function("arn", true);
    bench.create("s");
    let token = "2".repeat(32);
    let rotate =
        json!({"SecretId": "s", "ClientRequestToken": token, "RotationLambdaARN": "arn", "RotationRules": {"AutomaticallyAfterDays": 5}});
    assert_eq!(bench.call("RotateSecret", &rotate).unwrap()["VersionId"], token.as_str());
    let pending = json!({"SecretId": "s", "VersionStage": "AWSPENDING"});
    assert_eq!(bench.call("GetSecretValue", &pending).unwrap_err(), AwsError::no_label("AWSPENDING"));
    let again = json!({"SecretId": "s", "ClientRequestToken": "3".repeat(32)});
    assert_eq!(bench.call("RotateSecret", &again).unwrap_err().code, "InvalidRequestException");

    let fill = |value: &str| json!({"SecretId": "s", "ClientRequestToken": token, "SecretString": value, "VersionStages": ["AWSPENDING"]});
    bench.call("PutSecretValue", &fill("new")).unwrap();
    assert_eq!(bench.call("PutSecretValue", &fill("other")).unwrap_err().code, "ResourceExistsException");
    assert_eq!(bench.call("GetSecretValue", &pending).unwrap()["SecretString"], "new");
}
