//! A reverse tunnel whose connections, tasks and buffers cannot leak.
