//! A server that is right.

use opof_conformance::{
    Choice, Dialect, Outcome, Profile, RunError, SameTuple, Target, Terms, cases, run, summary, table,
};
use tonic::transport::Endpoint;

use crate::mock::{CAPACITY, Mock};
use crate::{on_a_thread, suite};

fn terms(dialect: Dialect, profile: Profile, same_tuple: SameTuple) -> Terms {
    Terms { dialect, profile, same_tuple, capacity: Some(CAPACITY as u64), may_shut_down: true }
}

#[test]
fn a_right_server_passes_in_every_dialect_and_profile() {
    let mut suites = Vec::new();
    for dialect in Dialect::ALL {
        for (name, profile) in Profile::NAMED {
            for same_tuple in [SameTuple::Supersede, SameTuple::Reject] {
                let what = format!("{dialect}, {name}, {same_tuple:?}");
                let work = async move || {
                    let target = Mock::start(terms(dialect, profile, same_tuple), profile, None).await;
                    suite(&target, &[]).await
                };
                suites.push((what, on_a_thread(work)));
            }
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    for (what, suite) in suites {
        let report = suite.join().unwrap();
        assert_eq!(report.exit_code(), 0, "{what}\n{}", table(&report));
        assert_eq!(report.advice().count(), 0, "{what}\n{}", table(&report));
        assert_eq!(report.results.len(), cases().count(), "{what}: {}", summary(&report));
        let passed = report.results.iter().filter(|result| result.outcome == Outcome::Passed);
        seen.extend(passed.map(|result| result.case.name));
    }
    // The order of an address's bytes can't be told over gRPC.
    let never: Vec<_> = cases().map(|case| case.name).filter(|name| !seen.contains(name)).collect();
    assert_eq!(never, ["ipv4-order"], "cases that apply nowhere");
}

#[tokio::test]
async fn a_server_with_sessions_is_left_alone_unless_forced() {
    let terms = terms(Dialect::V1, Profile::SPEC, SameTuple::Supersede);
    let target = Mock::start(terms, Profile::SPEC, None).await;
    let mut rpc = opof_api::Rpc::new(target.channel(), Dialect::V1);
    let session = opof_api::v1::SessionRequest {
        session_id: 7,
        source_ip: 1,
        destination_ip: 2,
        protocol_id: 6,
        action: Some(opof_api::v1::ActionParameters::default()),
        ..opof_api::v1::SessionRequest::default()
    };
    rpc.add_session(tokio_stream::iter([session])).await.unwrap();
    let refused = run(&target, &Choice::default(), |_| {}).await.unwrap_err();
    assert_eq!((&refused, refused.exit_code()), (&RunError::InService, 2));
    let only = ["list", "get-delete", "table-full"].map(str::to_owned).to_vec();
    let report = run(&target, &Choice { only, force: true }, |_| {}).await.unwrap();
    assert_eq!(report.exit_code(), 0, "{}", table(&report));
    assert!(rpc.get_session(opof_api::v1::SessionId { session_id: 7 }).await.unwrap().get_ref().start_time.is_some());
}

#[tokio::test]
async fn where_no_case_applies_nothing_has_passed() {
    let terms = terms(Dialect::V1, Profile::SPEC, SameTuple::Supersede);
    let target = Mock::start(terms, Profile::SPEC, None).await;
    let choice = |only: &[&str]| Choice { only: only.iter().map(|name| (*name).to_owned()).collect(), force: false };
    let error = run(&target, &choice(&["service-version", "next-hop-unknown"]), |_| {}).await.unwrap_err();
    let RunError::NoneApplies { name: "service-version", ref why } = error else { panic!("{error:?}") };
    assert!(why.contains("v1beta1"), "{why}");
    assert_eq!(error.exit_code(), 2);
    let report = run(&target, &choice(&["service-version", "bad-port"]), |_| {}).await.unwrap();
    assert_eq!((report.results.len(), report.exit_code()), (2, 0));
}

#[tokio::test]
async fn nobody_there_is_no_failed_case() {
    // The discard port of a loopback address that nobody has: refused at once.
    let channel = Endpoint::from_static("http://127.0.0.1:9").connect_lazy();
    let error = run(&Target::new(channel, Terms::default()), &Choice::default(), |_| {}).await.unwrap_err();
    assert_eq!(error.exit_code(), 3, "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[test]
fn cases_are_chosen_by_name_and_by_family() {
    let chosen = |only: &[&str]| {
        let only = only.iter().map(|name| (*name).to_owned()).collect();
        Choice { only, force: false }
            .cases()
            .map(|cases| cases.into_iter().map(|(_, case)| case.name).collect::<Vec<_>>())
    };
    assert_eq!(chosen(&["bad-port", "services"]).unwrap(), ["bad-port", "health", "reflection"]);
    assert_eq!(chosen(&[]).unwrap().len(), cases().count());
    assert_eq!(chosen(&["bad-prot"]).unwrap_err(), RunError::NoSuchCase { name: "bad-prot".to_owned() });
}
