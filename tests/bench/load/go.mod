module aiapp.dev/load

go 1.26
