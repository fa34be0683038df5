use serde_json::json;

use super::*;
use crate::plugin::flags::Flags;
use crate::plugin::health::{judge, sort};

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn health(name: &str, conditions: &serde_json::Value, next: &str) -> Health {
    let object = serde_json::from_value(json!({
        "apiVersion": "rotated-secrets.io/v1alpha1",
        "kind": "RotatedSecret",
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": "2026-05-20T12:00:00Z"},
        "spec": {},
        "status": {
            "conditions": conditions,
            "aws": {"arn": "arn:x", "currentVersionId": "v2"},
            "mirror": {"secretName": name, "versionId": "v2"},
            "lastRotationTime": "2026-05-31T12:00:00Z",
            "nextRotationTime": next,
        },
    }))
    .unwrap();
    judge(&object, now(), &Flags::default())
}

fn condition(of: &str, status: &str, reason: &str) -> serde_json::Value {
    said(of, status, reason, &format!("about {of}"))
}

fn said(of: &str, status: &str, reason: &str, message: &str) -> serde_json::Value {
    json!({"type": of, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-06-01T11:00:00Z"})
}

fn screen(everywhere: bool) -> Screen {
    Screen { everywhere, only_problems: false, headers: true, wide: false, now: now(), colours: false }
}

fn stalled(name: &str, message: &str) -> Health {
    let conditions = json!([said("Ready", "False", "AccessDenied", message), said("Stalled", "True", "AccessDenied", message)]);
    health(name, &conditions, "2026-06-02T00:00:00Z")
}

fn ready(name: &str) -> Health {
    health(name, &json!([condition("Ready", "True", "Succeeded")]), "2026-06-03T00:00:00Z")
}

#[test]
fn the_screen_shows_one_line_each_then_the_sentences_then_a_sum() {
    let mut items = vec![
        health("api", &json!([condition("Ready", "True", "Succeeded")]), "2026-06-02T00:00:00Z"),
        health(
            "db",
            &json!([condition("Ready", "False", "AwsUnavailable"), condition("Rotated", "False", "Overdue")]),
            "2026-06-01T09:00:00Z",
        ),
    ];
    sort(&mut items);
    assert_eq!(
        screen(true).page(&items).text(),
        "NAMESPACE   NAME   STATE     REASON           LAST ROTATED   NEXT ROTATION   AGE\n\
         shop        db     Overdue   AwsUnavailable   24h            overdue 3h      12d\n\
         shop        api    Ready     Succeeded        24h            in 12h          12d\n\
         \n\
         shop/db: about Rotated\n\
         \n\
         2 objects: 1 Overdue, 1 Ready; 1 rotates within 24h\n"
    );
    let narrow = screen(false).page(&items);
    let narrow = narrow.text();
    assert!(narrow.starts_with("NAME   STATE") && narrow.contains("\ndb: about Rotated\n"), "{narrow}");
    let bare = Screen { headers: false, ..screen(false) }.page(&items);
    assert!(bare.text().starts_with("db    Overdue") && !bare.text().contains("objects:"), "{bare:?}");
    let wide = Screen { wide: true, ..screen(false) }.page(&items);
    assert!(wide.text().lines().next().is_some_and(|line| line.ends_with("AGE   VERSION   SECRET")), "{wide:?}");
}

#[test]
fn one_cause_is_one_sentence_and_the_sum_counts_the_reasons() {
    let mut items: Vec<Health> = (0..60).map(|n| stalled(&format!("s{n:02}"), "ask for kms:Decrypt")).collect();
    items.extend((0..240).map(|n| ready(&format!("r{n:03}"))));
    let page = Screen { only_problems: true, ..screen(false) }.page(&items);
    let text = page.text();
    assert_eq!(text.matches("ask for kms:Decrypt").count(), 1, "{text}");
    assert!(text.contains("\ns00, s01, s02, s03, s04 and 55 more: ask for kms:Decrypt\n"), "{text}");
    assert!(text.contains("\n300 objects: 60 Stalled (60 AccessDenied), 240 Ready\n"), "{text}");
    assert!(text.ends_with("\n240 objects without a problem not shown: -o wide shows all\n") && !text.contains("r000"), "{text}");

    let different: Vec<Health> = (0..4).map(|n| stalled(&format!("s{n}"), &format!("of s{n}"))).collect();
    let text = screen(false).page(&different).text().to_owned();
    assert!(text.contains("\ns0, s1, s2, s3: each for itself, for example s0: of s0\n"), "{text}");
    let text = Screen { wide: true, ..screen(false) }.page(&different).text().to_owned();
    assert!((0..4).all(|n| text.contains(&format!("\ns{n}: of s{n}\n"))), "{text}");
}

#[test]
fn what_the_plugin_does_not_know_is_named_and_no_problem() {
    let item = Health { unknown_fields: vec!["status.history[0].cause".to_owned()], ..ready("db") };
    assert!(item.is_fine());
    let page = screen(false).page(&[item]);
    assert!(page.text().contains("db: the status has fields that this plugin does not know (status.history[0].cause)"), "{page:?}");
}
