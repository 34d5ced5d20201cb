# The release binary and the shared libraries that it names, as hack/image puts them together: no shell, no packages.
FROM scratch
COPY . /
ENTRYPOINT ["/fairlead"]
