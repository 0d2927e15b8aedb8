//! The same for clients that come over TLS or speak HTTP/2.

use futures_util::future;

use super::Load;
use crate::dial::Dial;
use crate::requests;
use crate::tls::certificate;
use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_nothing_is_lost_over_tls_nor_by_http_2() {
    let app = requests::echo().await;
    let (own, root) = certificate(&["shop.example"]);
    let mut world = World::secure(&[app.address], &[own]).await;
    let secure = world.secure.unwrap();
    let tls = Load::by(&Dial::tls(secure, &root), 4);
    let http2 = Load::multiplexed(&Dial::http2(secure, &root), 3);
    let plain = Load::multiplexed(&Dial::plain(world.address), 3);
    let loads = [tls, http2, plain];
    let threads = [1, 3, 1];
    for threads in threads {
        more(&loads).await;
        world.threads = threads;
        let before = world.hand_over().await.unwrap();
        more(&loads).await;
        before.ended().await;
    }
    more(&loads).await;
    for multiplexed in &loads[1..] {
        let opened = multiplexed.opened();
        assert!(opened > threads.len() as u64, "only {opened} connections: none of them was to be left");
    }
    for load in loads {
        let good = load.finish().await;
        assert!(good > 100, "only {good} requests were made");
    }
}

async fn more(loads: &[Load]) {
    future::join_all(loads.iter().map(Load::more)).await;
}
