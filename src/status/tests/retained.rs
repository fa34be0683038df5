//! What is said of an object that is gone and leaves its AWS secret.

use super::*;
use crate::api::AwsDeletionPolicy;
use crate::status::events::secret_retained;

#[test]
fn an_object_that_is_gone_names_the_aws_secret_that_it_leaves_as_declared_and_only_its_own() {
    let note = secret_retained(&object(&live())).unwrap();
    assert_eq!((note.warning, note.reason.as_str()), (false, "AwsSecretRetained"));
    assert!(note.note.contains(ARN) && note.note.contains("describe-secret"), "{}", note.note);
    assert!(!note.note.contains("delete-secret"), "the status may name a secret of another owner: {}", note.note);

    let silent = |change: fn(&mut RotatedSecret)| {
        let mut object = object(&live());
        change(&mut object);
        assert_eq!(secret_retained(&object), None);
    };
    silent(|object| object.status = None);
    silent(|object| object.spec.aws.deletion_policy = AwsDeletionPolicy::Delete);
    silent(|object| object.status.as_mut().unwrap().declared = None);
    silent(|object| object.status.as_mut().unwrap().aws = None);
    silent(|object| object.status.as_mut().unwrap().aws.as_mut().unwrap().arn = Some("no ARN".to_owned()));
    let theirs = after(&live(), &rested(Rest { provisioned: Some(refusal(Reason::NotOwned)), ..Rest::default() }), MADE + 120);
    assert_eq!(secret_retained(&object(&theirs)), None, "the secret is of another object");
}
