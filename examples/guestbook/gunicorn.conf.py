"""Read by gunicorn from its working directory. The address is on the command line, where $PORT is known."""

from gunicorn.glogging import Logger


class QuietProbes(Logger):
    """Access log without the health probes, which come each second."""

    def access(self, resp, req, environ, request_time):
        if environ.get("PATH_INFO") != "/healthz":
            super().access(resp, req, environ, request_time)


# One process with four threads: scale by instances, so that each has its own memory limit and log.
worker_class = "gthread"
workers = 1
threads = 4
# The heartbeat file in memory: on a busy disk its sync can block a healthy worker until it is killed.
worker_tmp_dir = "/dev/shm"
# A little less than Tandem's own stop time-out, so that gunicorn ends by itself.
graceful_timeout = 25

# Nothing here is steered at run time, and two instances would share the socket's path.
control_socket_disable = True

accesslog = "-"
access_log_format = '%(m)s %(U)s %(s)s %(M)sms request=%({x-request-id}i)s'
logger_class = QuietProbes
