#![expect(clippy::unwrap_used, reason = "tests may")]

use std::net::{IpAddr, Ipv4Addr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::*;

/// Within which anything that is answered at all is answered, on a machine busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);

const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

const LIMITS: ConnectionLimits = ConnectionLimits {
    connections_max: 64,
    duration_max: Duration::from_secs(5),
    bytes_max: 16 * 1024,
};

async fn connected(address: SocketAddr) -> TcpStream {
    timeout(DEADLINE, TcpStream::connect(address))
        .await
        .expect("in time")
        .unwrap()
}

#[tokio::test]
async fn the_oldest_connection_makes_room_for_the_newest() {
    let mut doorkeeper = Doorkeeper::bind(LOCAL, LIMITS).await.unwrap().0;
    let address = doorkeeper.local_addr().unwrap();
    let mut admitted = VecDeque::new();
    let mut peers = Vec::new();
    for _ in 0..=LIMITS.connections_max {
        peers.push(connected(address).await);
        admitted.push_back(doorkeeper.accept().await.0);
    }
    assert_eq!(doorkeeper.admitted.len(), LIMITS.connections_max);
    let mut oldest = admitted.pop_front().unwrap();
    let oldest = timeout(DEADLINE, oldest.read_u8())
        .await
        .expect("it is closed")
        .unwrap_err();
    assert_eq!(oldest.kind(), io::ErrorKind::ConnectionAborted);

    // Places that were given up are free: nobody is closed for them.
    admitted.pop_back();
    peers.push(connected(address).await);
    admitted.push_back(doorkeeper.accept().await.0);
    assert!(
        admitted
            .iter_mut()
            .all(|connection| connection.dismissal.try_recv().is_err())
    );
    assert_eq!(doorkeeper.admitted.len(), LIMITS.connections_max);
}

#[tokio::test]
async fn no_more_is_read_of_a_request_than_a_request_needs() {
    let mut doorkeeper = Doorkeeper::bind(LOCAL, LIMITS).await.unwrap().0;
    let mut peer = connected(doorkeeper.local_addr().unwrap()).await;
    let mut connection = doorkeeper.accept().await.0;
    peer.write_all(&vec![b'a'; 2 * LIMITS.bytes_max])
        .await
        .unwrap();
    let (mut piece, mut bytes) = ([0; 1024], 0);
    let reading = async {
        loop {
            match connection.read(&mut piece).await {
                Ok(read) => bytes += read,
                Err(error) => break error,
            }
        }
    };
    let error = timeout(DEADLINE, reading).await.expect("it ends");
    assert_eq!(
        (bytes, error.kind()),
        (LIMITS.bytes_max, io::ErrorKind::InvalidData)
    );
}
