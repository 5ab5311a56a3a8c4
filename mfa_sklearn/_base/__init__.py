"""What every folder uses: facts carried by arrays, reading rows, devices, files, checks."""
