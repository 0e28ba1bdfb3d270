#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use http::Request;
use tonic::{Code, Status, body::Body, transport::Channel};

use super::REQUEST_ID_HEADER;
use crate::{
    metrics,
    server::Transport,
    testing::{call, config, connect, direct, start},
};

async fn served() -> Channel {
    connect(start(config(Transport::Plaintext)).await.address).await
}

#[tokio::test]
async fn a_request_id_is_made_echoed_and_replaced_when_hostile() {
    let channel = served().await;
    let id =
        |metadata: &tonic::metadata::MetadataMap| metadata.get("x-request-id").unwrap().to_str().unwrap().to_owned();

    let made = call(&channel, "Ok", &[]).await.unwrap();
    assert_eq!(id(made.metadata()).len(), 36);
    let echoed = call(&channel, "Ok", &[("x-request-id", "job-7")]).await.unwrap();
    assert_eq!(id(echoed.metadata()), "job-7");
    for method in ["Bare", "Panic", "Missing"] {
        let error = call(&channel, method, &[("x-request-id", "job-8")]).await.unwrap_err();
        assert_eq!(id(error.metadata()), "job-8", "{method}");
    }
    for hostile in ["a b", "<script>", &"x".repeat(4096)] {
        let replaced = call(&channel, "Ok", &[("x-request-id", hostile)]).await.unwrap();
        assert_eq!(id(replaced.metadata()).len(), 36);
    }
}

#[tokio::test]
async fn headers_past_eight_kibibytes_are_refused_and_the_connection_lives() {
    let channel = served().await;
    assert!(call(&channel, "Ok", &[("x-request-id", &"x".repeat(10 * 1024))]).await.is_err());
    assert!(call(&channel, "Ok", &[]).await.is_ok());
}

#[tokio::test]
async fn a_ten_kibibyte_id_would_be_replaced_if_it_came_so_far() {
    let request = Request::builder().uri("/test.v1.Test/Bare").header(REQUEST_ID_HEADER, "x".repeat(10 * 1024));
    let response = direct(request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.headers()[REQUEST_ID_HEADER].len(), 36);
}

#[tokio::test]
async fn a_deadline_that_passes_is_answered() {
    // tonic's client keeps to `grpc-timeout` itself and would answer first: no client here.
    let request =
        Request::builder().uri("/test.v1.Test/Slow").header("grpc-timeout", "100m").header("x-millis", "60000");
    let start = Instant::now();
    let response = direct(request.body(Body::empty()).unwrap()).await;
    let status = Status::from_header_map(response.headers()).unwrap();
    assert_eq!((status.code(), status.details()), (Code::DeadlineExceeded, &b"details"[..]));
    assert!((100..5_000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[tokio::test]
async fn deadlines_are_capped_and_given_where_absent() {
    let channel = served().await;
    for (asked, least, most) in [(None, 9_000, 10_000), (Some("5S"), 4_000, 5_000), (Some("9H"), 59_000, 60_000)] {
        let metadata: Vec<_> = asked.map(|asked| ("grpc-timeout", asked)).into_iter().collect();
        let error = call(&channel, "Deadline", &metadata).await.unwrap_err();
        let left: u64 = error.message().parse().unwrap();
        assert!((least..=most).contains(&left), "{asked:?}: {left}");
    }
}

#[tokio::test]
async fn streams_have_no_deadline() {
    let request =
        Request::builder().uri("/test.v1.Test/Stream").header("grpc-timeout", "10m").header("x-millis", "200");
    let response = direct(request.body(Body::empty()).unwrap()).await;
    let code = Status::from_header_map(response.headers()).map(|status| status.code());
    assert_ne!(code, Some(Code::DeadlineExceeded));
}

#[tokio::test]
async fn a_panic_becomes_internal_without_its_text() {
    let channel = served().await;
    let error = call(&channel, "Panic", &[]).await.unwrap_err();
    assert_eq!(error.code(), Code::Internal);
    assert!(!format!("{error:?}").contains("hunter2"));
    assert_eq!(error.details(), b"details");
    assert!(call(&channel, "Ok", &[]).await.is_ok(), "the connection lives on");
}

#[tokio::test]
async fn framework_errors_get_details_and_keep_code_text_and_metadata() {
    let channel = served().await;
    let bare = call(&channel, "Bare", &[]).await.unwrap_err();
    assert_eq!((bare.code(), bare.message(), bare.details()), (Code::NotFound, "bare", &b"details"[..]));
    assert_eq!(bare.metadata().get("retry-pushback").unwrap(), "7");
    let own = call(&channel, "Detailed", &[]).await.unwrap_err();
    assert_eq!((own.message(), own.details()), ("own", &b"own"[..]));
    for missing in ["Missing", "no.such.v1.Service/Method"] {
        let missing = call(&channel, missing, &[]).await.unwrap_err();
        assert_eq!((missing.code(), missing.details()), (Code::Unimplemented, &b"details"[..]));
    }
}

#[tokio::test]
async fn methods_that_are_not_served_share_one_label() {
    let metrics = metrics::install().unwrap();
    let channel = served().await;
    call(&channel, "Ok", &[]).await.unwrap();
    for invented in 0..20 {
        let _ = call(&channel, &format!("evil.v1.Evil/Method{invented}"), &[]).await;
    }
    let text = metrics.render();
    let ok = r#"rpc_server_call_duration_seconds_count{rpc_system_name="grpc",rpc_method="test.v1.Test/Ok",rpc_response_status_code="OK"}"#;
    assert!(text.contains(ok), "{text}");
    assert!(text.contains(r#"rpc_method="_OTHER",rpc_response_status_code="UNIMPLEMENTED",le="0.0005""#), "{text}");
    assert!(!text.contains("evil"), "{text}");
}

#[tokio::test]
async fn a_call_that_its_caller_abandons_is_recorded() {
    let metrics = metrics::install().unwrap();
    let channel = served().await;
    let call = call(&channel, "Slow", &[("x-millis", "60000")]);
    assert!(tokio::time::timeout(Duration::from_millis(200), call).await.is_err());
    for _ in 0..50 {
        if metrics.render().contains(r#"rpc_method="test.v1.Test/Slow",rpc_response_status_code="CANCELLED""#) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(metrics.render().contains("CANCELLED"), "not recorded");
}
