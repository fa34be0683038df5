//! An object whose certificate has expired is not Ready.

use super::*;
use crate::desired::Pin;

const EXPIRES: i64 = MADE + 30;

fn holding(pin: Pin) -> (Desired, Observation) {
    let mut want = want();
    want.target.as_mut().unwrap().pin = pin;
    let extras = crate::compare::Extras { not_after: Some(at(EXPIRES)), ..Default::default() };
    (want, Observation { extras, ..seen(&ids().creation(), MADE) })
}

fn told(want: &Desired, seen: &Observation, rest: Rest, now: i64) -> RotatedSecretStatus {
    report(&object(&live()), Some(want), &assessed(seen.clone(), rest), at(now))
}

#[test]
fn an_object_is_ready_until_its_certificate_expires() {
    let (want, seen) = holding(Pin::Current);
    let valid = told(&want, &seen, rest(), EXPIRES - 1);
    assert_eq!(said(&valid), FINE);
    assert_eq!(valid.mirror.unwrap().not_after, Some(Time(at(EXPIRES))));

    let expired = told(&want, &seen, rest(), EXPIRES);
    let expected =
        ["-Ready CertificateExpired", "+Provisioned Succeeded", "+Rotated Succeeded", "+Mirrored Succeeded", "+Stalled CertificateExpired"];
    assert_eq!(said(&expired), expected);
    let message = message(&expired, "Ready");
    assert!(message.contains("kubectl annotate rsec db-admin") && message.contains(&at(EXPIRES).to_string()), "{message}");
    assert!(expired.failures.is_none(), "nothing failed");
}

#[test]
fn the_remedy_is_one_that_the_object_allows() {
    let version = Pin::Version(ids().creation());
    let mut given = holding(Pin::Current);
    given.0.value = None;
    for ((want, seen), remedy) in [(holding(version), "remove the pin"), (given, "store a valid certificate in AWS")] {
        let status = told(&want, &seen, rest(), EXPIRES);
        assert_eq!(said(&status)[0], "-Ready CertificateExpired");
        assert!(message(&status, "Ready").contains(remedy), "{}", message(&status, "Ready"));
    }
}

#[test]
fn a_suspended_object_names_it_too_and_another_refusal_comes_first() {
    let (want, seen) = holding(Pin::Current);
    let before = told(&want, &seen, rest(), EXPIRES - 1);
    let suspended = assessed(seen.clone(), Rest { suspended: true, ..Rest::default() });
    let status = report(&object(&before), Some(&want), &suspended, at(EXPIRES));
    assert_eq!(said(&status)[0], "-Ready Suspended");
    assert!(message(&status, "Ready").contains("expired at"), "{}", message(&status, "Ready"));

    let denied = Rest { provisioned: Some(refusal(Reason::AccessDenied)), ..rest() };
    assert_eq!(said(&told(&want, &seen, denied, EXPIRES))[0], "-Ready AccessDenied");
}
