//! The heads of requests, legal and illegal, as the gateway answers them: the same table as the
//! library's server and an application of axum are asked.

use testkit::{Peer, figure, heads};

use crate::world::{Backend, Gateway};

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_answers_each_head_as_its_section_says() {
    let backend = Backend::start().await;
    let gateway = Gateway::start(None, &backend, &[]);
    let addr = gateway.addr;
    let asked = tokio::task::spawn_blocking(move || {
        let mut different = Vec::new();
        for row in heads() {
            let mut peer = Peer::connect(addr);
            peer.try_write(&row.bytes);
            let status = peer.read_head().status();
            figure(&format!("{}, {}", row.section, row.what), &format!("gateway {status}"));
            // The gateway has the library's limit of a head, not that of the HTTP library.
            let want = match row.what {
                "20 KiB of cookies" => row.status,
                _ => row.status_through_http(),
            };
            if status != want {
                different.push(format!("{}, {}: {status}", row.section, row.what));
            }
            peer.reset();
        }
        different
    });
    assert_eq!(asked.await.unwrap(), Vec::<String>::new());
}
