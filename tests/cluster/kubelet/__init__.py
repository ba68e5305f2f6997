"""
A small stand-in for the nodes of a cluster: pods become processes of this machine.

Where no container can run, a real API server and the real controllers still make pods of Deployments and Jobs. `node`
takes such pods and gives each an address of its own (`127.x.y.z`), the files of its volumes (`volumes`), and its
environment (`environment`); `images` says which source tree an image stands for, `containers` runs the commands,
`probes` asks them how they are, and `pods` lives a pod's life and writes its status as a kubelet would. `services`
says which pod answers for the name of a Service.

What it is not: an isolation. Processes see the file system of the machine and run as the user of the tests; limits and
security contexts are left to the API server's admission. It needs Linux, whose whole network 127.0.0.0/8 is local.
"""
