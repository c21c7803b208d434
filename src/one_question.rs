//! An HTTP server for tests that is asked one question.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    thread,
};

/// Its URL, and the head of the question once it was asked. It answers with this, and no body.
pub fn server(status: u16) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("its address"));
    let asked = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
        let head: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        let length = if status == 204 { "" } else { "content-length: 0\r\n" };
        stream.write_all(format!("HTTP/1.1 {status} X\r\n{length}\r\n").as_bytes()).expect("written");
        head.join("\n")
    });
    (url, asked)
}
