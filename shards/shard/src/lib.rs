//! The broker for one core: connections, sessions, routing. No sockets, files, clocks or threads.
