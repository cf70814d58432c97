//! Messages are unchanged by a pipe of any capacity.

use super::*;

const SIZES: [usize; 9] = [0, 1, 69, 125, 126, 2_047, 2_048, 16_384, 300_000];

fn messages(most: usize) -> Vec<Encoded> {
    let sizes = SIZES.iter().filter(|&&len| len <= most);
    sizes.enumerate().map(|(number, &len)| numbered(number, len)).collect()
}

async fn send_all(mut transport: Box<dyn Transport>, messages: Vec<Encoded>) -> Box<dyn Transport> {
    for message in messages {
        ready(&mut *transport).await;
        transport.send(message).unwrap();
    }
    flush(&mut *transport).await;
    transport
}

async fn receive_all(mut transport: Box<dyn Transport>, messages: Vec<Encoded>) {
    for message in messages {
        assert_eq!(next_message(&mut *transport).await, message.to_bytes());
    }
}

async fn goes_through(pair: Pair, messages: &[Encoded]) {
    let (from, to) = pair;
    let sending = tokio::spawn(send_all(from, messages.to_vec()));
    receive_all(to, messages.to_vec()).await;
    sending.await.unwrap();
}

#[tokio::test]
async fn messages_of_any_size_cross_pipes_of_any_size() {
    for pipe in [1, 2, 3, 7, 64, 1_000, 65_536, 1 << 20] {
        let messages = messages(pipe * 10_000);
        for (one, other) in pairs(pipe).await {
            goes_through((one, other), &messages).await;
        }
        for (one, other) in pairs(pipe).await {
            goes_through((other, one), &messages).await;
        }
    }
}

#[tokio::test]
async fn many_small_messages_keep_their_order() {
    let messages: Vec<_> = (0..20_000).map(|number| numbered(number, 70)).collect();
    for pair in pairs(4_096).await {
        goes_through(pair, &messages).await;
    }
}

#[tokio::test]
async fn both_directions_flow_at_once() {
    let messages: Vec<_> = (0..200).map(|number| numbered(number, 10_000)).collect();
    for (mut one, mut other) in pairs(1_000).await {
        tokio::join!(exchange(&mut *one, &messages), exchange(&mut *other, &messages));
    }
}

/// Sends and receives in one task, as a session's driver does.
async fn exchange(transport: &mut dyn Transport, messages: &[Encoded]) {
    let (mut sent, mut received) = (messages.iter(), 0);
    poll_fn(|cx| {
        while let Poll::Ready(message) = transport.poll_recv(cx) {
            let Ok(Received::Message(message)) = message else { panic!("{message:?}") };
            assert_eq!(message, messages[received].to_bytes());
            received += 1;
        }
        while transport.poll_ready(cx).is_ready() {
            let Some(message) = sent.next() else { break };
            transport.send(message.clone()).unwrap();
        }
        let flushed = transport.poll_flush(cx).is_ready();
        let done = flushed && sent.len() == 0 && received == messages.len();
        if done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused() {
    let (mut one, mut other) = byte_streams(1 << 22);
    refuses_too_long(&mut one, &mut other).await;
    let (mut one, mut other) = web_sockets(1 << 22).await;
    refuses_too_long(&mut one, &mut other).await;
}

async fn refuses_too_long(from: &mut dyn Transport, to: &mut dyn Transport) {
    from.send(data(vec![7; MAX_MESSAGE])).unwrap();
    flush(from).await;
    let error = recv(to).await.unwrap_err();
    assert!(matches!(error, TransportError::Invalid(_)), "{error:?}");
    assert!(error.to_string().contains("limit is 1048576"), "{error}");
}
