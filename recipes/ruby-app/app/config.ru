# Says hello on port 8000, and how often it has.
require "sinatra/base"

class Application < Sinatra::Base
  visits = 0

  get "/" do
    content_type :text
    "Hello from ruby-app, visit #{visits += 1}\n"
  end
end

run Application
