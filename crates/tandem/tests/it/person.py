"""A person at a terminal: starts a program on a terminal of its own and does what the steps say.

Arguments: the steps as JSON, then the program and its arguments. A step is ["see", text], ["type", text],
["resize", rows, columns], ["touch", path] or ["kill", signal]. Prints what was on the screen, and last the code.
"""
import fcntl, json, os, pty, select, struct, sys, termios, time

steps, words = json.loads(sys.argv[1]), sys.argv[2:]
child, screen = pty.fork()
if child == 0:
    # Before the program looks at it.
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
    os.execvp(words[0], words)
seen, at, deadline = b"", 0, time.monotonic() + 120


def look():
    """Takes in what is shown; False: the program has gone."""
    global seen
    if time.monotonic() > deadline:
        print(seen.decode(errors="replace"))
        sys.exit("nothing more was shown; missing: %r" % (steps,))
    if select.select([screen], [], [], 0.1)[0]:
        try:
            new = os.read(screen, 65536)
        except OSError:
            return False
        seen += new
        return bool(new)
    return True


while steps:
    step = steps[0]
    if step[0] == "see":
        found = seen.find(step[1].encode(), at)
        if found < 0:
            if not look():
                print(seen.decode(errors="replace"))
                sys.exit("it went before it showed %r" % step[1])
            continue
        at = found + len(step[1])
    elif step[0] == "type":
        os.write(screen, step[1].encode())
    elif step[0] == "resize":
        fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", step[1], step[2], 0, 0))
    elif step[0] == "touch":
        open(step[1], "w").close()
    elif step[0] == "kill":
        os.kill(child, step[1])
    steps.pop(0)
while look():
    pass
status = os.waitpid(child, 0)[1]
print(seen.decode(errors="replace").replace("\r", ""))
print("code", os.waitstatus_to_exitcode(status))
